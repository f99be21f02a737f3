"""Imports that run at once beside other writers, everything they wrote in its order, and the same once more in a row."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import IntegrityError

from engage_etl.errors import FileError
from engage_etl.settings import Settings
from engage_etl.store.engine import Store, open_store
from engage_etl.store.imports import Import
from engage_etl.store.tables import METADATA, contact, custom_attribute, membership
from engage_etl_tests.importing import STAGES, Importing, as_csv

IMPORTS = 8
SEEDED = [str(number) for number in range(1, 13)]
NEW = [str(number) for number in range(13, 19)]
DOUBLED = "doubled"
ADDRESSES = [f"a{number}@x.org" for number in range(1, 13)] + [f"n{number}@x.org" for number in range(1, 9)]
SETTLED = {"contact_id", "created_at", "updated_at", "import_id", "at"}
"""What differs from store to store."""

WRITTEN = """
CREATE TABLE IF NOT EXISTS public.written
(at timestamptz DEFAULT clock_timestamp(), statement text, given jsonb)
"""
NOTE = "INSERT INTO public.written (statement, given) VALUES (:statement, CAST(:given AS jsonb))"


@dataclass(frozen=True)
class File:
    """A file to import, and how."""

    name: str
    content: str
    options: dict[str, Any]


@dataclass
class Ran:
    """What became of imports that ran at once. planned: the rows of each as they were planned first."""

    entries: list[Import]
    planned: dict[str, list[Any]] = field(default_factory=dict)


def fill(importing: Importing) -> None:
    """Contacts to quarrel about: members, others, two with one identifier, one without."""
    importing.seed(
        as_csv(
            ("user.Email", "user.Identifier", "user.MobileNumber"),
            *((f"a{n}@x.org", n, f"49{n}00000" if int(n) % 3 else "") for n in SEEDED[:8]),
        )
    )
    with importing.store.engine.begin() as connection:
        for identifier, email in [
            *((n, f"a{n}@x.org") for n in SEEDED[8:]),
            (DOUBLED, "d1@x.org"),
            (DOUBLED, "d2@x.org"),
            (None, "n1@x.org"),
        ]:
            connection.execute(contact.insert().values(identifier=identifier, email=email, email_key=email))
        connection.execute(text(WRITTEN))


def empty(store: Store) -> None:
    """As on the first day."""
    names = ", ".join(table.fullname for table in METADATA.sorted_tables)
    with store.engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {names}, public.written RESTART IDENTITY CASCADE"))


def files(rng: random.Random) -> list[File]:
    """Files about the same few contacts."""
    made = [File(f"{number}.csv", _rows(rng), _options(rng)) for number in range(IMPORTS)]
    if rng.random() < 0.5:
        made[-1] = File("typed.xml", _typed(rng), made[-1].options)
    return made


def _options(rng: random.Random) -> dict[str, Any]:
    usual = ["add-and-update"] * 5
    return {
        "import_mode": rng.choice([*usual, "add", "replace", "remove", "add-contacts-as-members"]),
        "update_rule": rng.choice(["if-new-not-blank", "always", "if-stored-blank"]),
        "link_unidentified": rng.random() < 0.5,
        "max_rejected": "100%",
    }


def _rows(rng: random.Random) -> str:
    """Addresses that move on from contact to contact, addresses that anybody has, new contacts, a new attribute."""
    moving = rng.sample(range(12), rng.randint(2, 5))
    moved = dict(zip(moving, [*moving[1:], moving[0]], strict=True))
    rows = [(SEEDED[number], ADDRESSES[to], "", "", "") for number, to in moved.items()]
    for _ in range(rng.randint(4, 10)):
        attribute = rng.choice(["", "red", "7"])
        mobile = rng.choice(["", "", f"49{rng.randint(1, 9)}00000"])
        who = rng.choice([*SEEDED, *NEW, *NEW, DOUBLED])
        rows.append((who, rng.choice(["", *ADDRESSES]), mobile, rng.choice(["", "Ann", "Bob"]), attribute))
    rng.shuffle(rows)
    attribute = rng.choice(["colour", "Colour", "shape", "size"])
    header = ("user.Identifier", "user.Email", "user.MobileNumber", "user.FirstName")
    return as_csv((*header, f"user.CustomAttribute.{attribute}"), *rows)


def _typed(rng: random.Random) -> str:
    """A file that makes a number of the attribute that others take for a text."""
    user = "<user><identifier>{}</identifier><email>{}</email><namedattr name='size'>{}</namedattr></user>"
    users = "".join(user.format(rng.choice(SEEDED + NEW), rng.choice(ADDRESSES), number) for number in range(5))
    return f"<userdata><list><namedattr-definition name='size' type='number'/>{users}</list></userdata>"


def run_at_once(importing: Importing, given: list[File], *, all_planned_first: bool) -> Ran:
    """Run the imports in threads with stores of their own; ``all_planned_first``: before the first is applied."""
    ids = [importing.register(file.content, name=file.name, **file.options) for file in given]
    ran = Ran([])
    barrier = threading.Barrier(len(ids)) if all_planned_first else None

    def run(import_id: str) -> None:
        with open_store(importing.store.settings) as store, suppress(FileError):
            own = Importing(store, importing.folder)
            ran.planned[import_id] = as_planned(own, own.run(import_id, STAGES[:3]))
            if barrier:
                barrier.wait(60)
            own.run(import_id, STAGES[3:])

    with ThreadPoolExecutor(len(ids)) as threads:
        for one in [threads.submit(run, import_id) for import_id in ids]:
            one.result()
    ran.entries = [importing.entry(import_id) for import_id in ids]
    return ran


def as_planned(importing: Importing, entry: Import) -> list[Any]:
    """The rows of a plan; a contact that applying created has no id in it."""
    return [
        (row.row, row.outcome, row.reason, None if row.outcome == "created" else row.contact_id, row.changes)
        for row in importing.plan_rows(entry)
    ]


class OtherWriters:
    """Programs that change, lock, add and delete contacts until they are told to stop; each note what it wrote and when.

    The time is taken while the locks of what was written are held, so that it gives the order among all writers.
    """

    def __init__(self, settings: Settings, seed: int) -> None:
        self._settings, self._seed = settings, seed
        self._stop = threading.Event()
        self._threads = ThreadPoolExecutor(2)

    def __enter__(self) -> OtherWriters:
        kinds: list[Callable[[random.Random], tuple[str, dict[str, str]]]] = [_change, _come_and_go]
        self._running = [
            self._threads.submit(self._write, kind, self._seed + number) for number, kind in enumerate(kinds)
        ]
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._threads.shutdown()
        for one in self._running:
            one.result()

    def _write(self, kind: Callable[[random.Random], tuple[str, dict[str, str]]], seed: int) -> None:
        rng = random.Random(seed)
        with open_store(self._settings) as store:
            while not self._stop.is_set():
                statement, given = kind(rng)
                with suppress(IntegrityError), store.engine.begin() as connection:
                    _lock_some(connection, rng)
                    connection.execute(text(statement), given)
                    note = {"statement": statement, "given": json.dumps(given)}
                    connection.execute(text(NOTE), note)
                self._stop.wait(rng.uniform(0, 0.03))


def _lock_some(connection: Connection, rng: random.Random) -> None:
    """Row locks of others, held for a moment; in the order of ids, so that these writers do not deadlock themselves."""
    if rng.random() < 0.3:
        mode = rng.choice(["UPDATE", "NO KEY UPDATE", "SHARE", "KEY SHARE"])
        found = text(f"SELECT FROM engage.contact WHERE identifier = :one ORDER BY contact_id FOR {mode}")
        connection.execute(found, {"one": rng.choice([DOUBLED, *SEEDED])})
        connection.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": rng.uniform(0, 0.05)})


TALLY = "UPDATE engage.contact SET nickname = coalesce(nickname, '0')::int + 1 WHERE identifier = :one"
"""What no import touches: if one of these is lost, the sum is wrong."""


def _change(rng: random.Random) -> tuple[str, dict[str, str]]:
    one = rng.choice(SEEDED)
    address = rng.choice(ADDRESSES)
    return rng.choice(
        [
            (TALLY, {"one": one}),
            (TALLY, {"one": one}),
            ("UPDATE engage.contact SET first_name = :name WHERE identifier = :one", {"one": one, "name": "Zoe"}),
            (
                "UPDATE engage.contact SET email = :address, email_key = :address WHERE identifier = :one",
                {"one": one, "address": address},
            ),
            (
                "DELETE FROM engage.membership m USING engage.contact c "
                "WHERE m.contact_id = c.contact_id AND c.identifier = :one",
                {"one": one},
            ),
        ]
    )


def _come_and_go(rng: random.Random) -> tuple[str, dict[str, str]]:
    """Contacts with identifiers that are new in the files too; never one that is there already."""
    one = rng.choice(NEW)
    return rng.choice(
        [
            ("DELETE FROM engage.contact WHERE identifier = :one", {"one": one}),
            (
                "INSERT INTO engage.contact (identifier, email, email_key) SELECT :one, :address, :address "
                "WHERE NOT EXISTS (SELECT FROM engage.contact WHERE identifier = :one)",
                {"one": one, "address": f"{one}@y.org"},
            ),
        ]
    )


def written(engine: Engine) -> list[tuple[datetime, str, dict[str, str]]]:
    """What other writers wrote, in order."""
    with engine.connect() as connection:
        found = connection.execute(text("SELECT at, statement, given FROM public.written ORDER BY at"))
        return [(at, statement, given) for at, statement, given in found]


def in_a_row(importing: Importing, ran: Ran, given: list[File], others: list[tuple[datetime, str, Any]]) -> Ran:
    """Import and write the same again, one after the other, in the order in which it took effect."""
    by_name = {file.name: file for file in given}
    steps: list[tuple[datetime, File | tuple[str, Any]]] = [
        (at, (statement, values)) for at, statement, values in others
    ]
    steps += [(entry.applied_at, by_name[entry.file]) for entry in ran.entries if entry.applied_at is not None]
    entries = []
    for _, step in sorted(steps, key=lambda step: step[0]):
        if isinstance(step, File):
            entries.append(importing(step.content, name=step.name, **step.options))
        else:
            with importing.store.engine.begin() as connection:
                connection.execute(text(step[0]), step[1])
    return Ran(entries)


def state(importing: Importing, entries: list[Import]) -> dict[str, Any]:
    """All that a store knows of its contacts and the imports, apart from ids and times."""
    names = {entry.import_id: entry.file for entry in entries}
    contacts = []
    for found in importing.contacts(history=True):
        history = [
            {"file": names.get(change["import_id"]), "row": change["row"], "changes": change["changes"]}
            for change in found["history"]
        ]
        kept = {name: value for name, value in found.items() if name not in SETTLED}
        contacts.append(kept | {"history": history})
    members = select(contact.c.identifier, contact.c.email, membership.c.attributes).join_from(membership, contact)
    attributes = select(*(custom_attribute.c[name] for name in ("scope", "name_key", "name", "type")))
    with importing.store.engine.connect() as connection:
        return {
            "contacts": sorted(contacts, key=str),
            "members": sorted((tuple(row) for row in connection.execute(members)), key=str),
            "attributes": sorted(tuple(row) for row in connection.execute(attributes)),
            "imports": {
                entry.file: [(row, outcome, reason, changes) for row, outcome, reason, _, changes in rows]
                for entry in entries
                if (rows := as_planned(importing, entry))
            },
        }
