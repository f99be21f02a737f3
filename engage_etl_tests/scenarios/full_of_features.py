"""A store, and a file of which every kind of row there is does something to it, for tests that disturb its import."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from engage_etl.settings import Settings
from engage_etl.store.groups import create_group
from engage_etl_tests.importing import GROUP, STAGES, Importing, as_csv

_OTHER_GROUP = "Visitors"
_OPTIONS = {"import_mode": "replace", "update_rule": ("always", "nickname=if-stored-blank"), "link_unidentified": True}
_HEADER = (
    "user.Identifier", "user.Email", "user.MobileNumber", "user.FirstName", "user.Nickname", "user.Title",
    "user.DateOfBirth", "user.CustomAttribute.colour", "user.CustomAttribute['Favourite shop']", "member.card",
)  # fmt: skip
Cells = tuple[str, ...]


def fill(importing: Importing, kinds: int) -> None:
    """Fill the store with nine contacts for each of ``kinds``: members, contacts of another group, one without identifier."""
    with importing.store.engine.begin() as connection:
        create_group(connection, _OTHER_GROUP)
    header = ("user.Email", "user.Identifier", "user.MobileNumber", "user.FirstName", "user.CustomAttribute.colour")
    members = [
        (f"m{place}.{kind}@x.org", f"M{place}-{kind}", f"49151{place}{kind:07d}", f"First {kind}", "red")
        for kind in range(kinds)
        for place in range(7)
    ]
    others = [(f"o{kind}@x.org", f"O-{kind}", "", "", "") for kind in range(kinds)]
    unidentified = [(f"u{kind}@x.org", "", "", "Nobody", "") for kind in range(kinds)]
    importing.seed(as_csv(header, *members))
    entry = importing(as_csv(header, *others, *unidentified), use_external_identifier=False, group=_OTHER_GROUP)
    assert entry.created == 2 * kinds


def file(kinds: int) -> str:
    """A file of twelve rows for each of ``kinds``; identifiers and addresses meet within a kind only."""
    return as_csv(_HEADER, *(row for kind in range(kinds) for row in _rows(kind)))


def options() -> dict[str, Any]:
    """With which the file is imported."""
    return dict(_OPTIONS)


def arguments(file: Path) -> list[str]:
    """The same import on the command line."""
    rules = [word for rule in ("always", "nickname=if-stored-blank") for word in ("--update-rule", rule)]
    options = ["--group", GROUP, "--use-external-identifier", "--import-mode", "replace", "--link-unidentified", *rules]
    return ["import", str(file), *options, "--json"]


def _rows(kind: int) -> Iterator[Cells]:
    mobile = [f"49151{place}{kind:07d}" for place in range(7)]

    def row(identifier: str, email: str, number: str, *, name: str = "", nick: str = "", born: str = "") -> Cells:
        return (identifier, email, number, name, nick, "1", born, "blue", "Süd", f"card {kind}")

    # Two members swap their addresses, a third takes a new one; the name is cleared.
    yield row(f"M0-{kind}", f"m1.{kind}@x.org", mobile[1])
    yield row(f"M1-{kind}", f"m0.{kind}@x.org", mobile[0])
    yield row(f"M2-{kind}", f"new2.{kind}@x.org", mobile[2], name="Zoë", nick="Zo", born="1990-02-03")
    # Superseded by the next one.
    yield row(f"M3-{kind}", f"old3.{kind}@x.org", mobile[3])
    yield row(f"M3-{kind}", f"new3.{kind}@x.org", mobile[3])
    # Rejected: what is no address, and an address that another contact keeps.
    yield row(f"M4-{kind}", "not-an-address", mobile[4])
    yield row(f"M5-{kind}", f"o{kind}@x.org", mobile[5])
    # A contact of another group becomes a member, one without identifier gets one, and two are new.
    yield row(f"O-{kind}", f"o{kind}@x.org", "")
    yield row(f"L-{kind}", f"u{kind}@x.org", "", name="Linked")
    yield row(f"N0-{kind}", f"n0.{kind}@x.org", "", born="2001-01-31")
    yield row(f"N1-{kind}", f"n1.{kind}@x.org", f"49160{kind:07d}")
    # Skipped: nobody has the identifier, and there is no address.
    yield row(f"X-{kind}", "", "")
    # The seventh member is not in the file and leaves the group.


@dataclass(frozen=True)
class Prepared:
    """An import that has come to a certain stage, in a store of which copies are made. server: address without database."""

    settings: Settings
    import_id: str
    server: str

    @contextmanager
    def copied(self, folder: Path, tablespace: str = "pg_default") -> Iterator[Settings]:
        """A copy of the store and of the data folder, for one attempt; it goes with the block."""
        assert self.settings.database_url is not None
        name = f"copy_{uuid.uuid4().hex[:12]}"
        original = sql.Identifier(str(psycopg.conninfo.conninfo_to_dict(self.settings.database_url)["dbname"]))
        copy = self.settings.model_copy(
            update={"data_dir": folder, "database_url": self.settings.database_url.replace(original._obj[0], name)}
        )
        shutil.copytree(self.settings.root, folder)
        with psycopg.connect(f"{self.server} dbname=postgres", autocommit=True) as connection:
            statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} TABLESPACE {} STRATEGY file_copy")
            connection.execute(statement.format(sql.Identifier(name), original, sql.Identifier(tablespace)))
        try:
            yield copy
        finally:
            with psycopg.connect(f"{self.server} dbname=postgres", autocommit=True) as connection:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            shutil.rmtree(folder)


def prepare(importing: Importing, kinds: int, stages_done: int, server: str) -> Prepared:
    """Fill the store, register the import of the file, and run the first stages of it."""
    fill(importing, kinds)
    import_id = importing.register(file(kinds), **options())
    importing.run(import_id, STAGES[:stages_done])
    importing.store.dispose()
    return Prepared(importing.store.settings, import_id, server)
