"""A server without room, while an import is planned and while it is applied: a sentence, and the store as it was."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from engage_etl.errors import DiskFull
from engage_etl.settings import Settings
from engage_etl.store.cluster import ROLE
from engage_etl.store.embedded import EmbeddedServer
from engage_etl.store.engine import open_store
from engage_etl_tests.cli.commands import engage_etl, environment
from engage_etl_tests.importing import Importing
from engage_etl_tests.scenarios.comparing import contacts_of, everything, temporary_relations
from engage_etl_tests.scenarios.full_of_features import Prepared, arguments, file, prepare
from engage_etl_tests.scenarios.small_disk import SmallDisk, small_disk
from engage_etl_tests.waiting import wait_for

pytestmark = pytest.mark.scenario
KINDS = 800
"""Twelve rows of each: too many for what is left."""

ALMOST_FULL = 1024 * 1024
"""Bytes that are left: enough for the files that the server needs for a new connection now and then."""

OTHER_WRITER = "LOCK TABLE engage.contact IN ROW EXCLUSIVE MODE"
PLANNED = "SELECT 1 FROM engage.import_register WHERE status = 'planned'"


@pytest.fixture
def disk(server: str) -> Iterator[SmallDisk]:
    """A disk that the server writes to."""
    account = Path(server).stat()
    with small_disk(96, (account.st_uid, account.st_gid)) as mounted:
        yield mounted


@pytest.fixture
def tablespace(server: str, disk: SmallDisk) -> Iterator[str]:
    """The small disk, as the server knows it."""
    name = f"small_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(f"host={server} user={ROLE} dbname=postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE TABLESPACE {} LOCATION {}").format(sql.Identifier(name), str(disk.folder)))
        yield name
        connection.execute(sql.SQL("DROP TABLESPACE {}").format(sql.Identifier(name)))


@pytest.fixture
def prepared(importing: Importing, server: str) -> Prepared:
    return prepare(importing, KINDS, 0, f"host={server} user={ROLE}")


@pytest.fixture
def full(prepared: Prepared, tablespace: str, tmp_path: Path) -> Iterator[Settings]:
    """An installation with its store on the small disk."""
    with prepared.copied(tmp_path / "full", tablespace) as settings:
        yield settings


def check_refused(full: Settings, code: int, out: str, before: dict[str, object]) -> None:
    ended = json.loads(out)
    assert (code, ended["status"]) == (1, "failed"), out
    assert ended["error"]["message"].startswith("The disk of the PostgreSQL server is full (could not extend file")
    assert "Nothing is half done: make room, then" in ended["error"]["message"]
    assert engage_etl(full, "imports", "show", ended["import_id"], "--json").json == ended
    assert contacts_of(full) == before
    assert temporary_relations(everything(full)) == []


def check_again(importing: Importing, prepared: Prepared, full: Settings, contacts: Path) -> None:
    """Imported again, it comes to what it comes to in a store that had room all along."""
    again = engage_etl(full, *arguments(contacts)).json
    assert (again["status"], again["created"]) == ("applied", 2 * KINDS)
    importing.run(prepared.import_id)
    found = {
        table: sorted(row.replace(again["import_id"], prepared.import_id) for row in rows)
        for table, rows in contacts_of(full).items()
    }
    assert found == contacts_of(prepared.settings)


def test_no_room_for_the_plan(
    importing: Importing, prepared: Prepared, full: Settings, disk: SmallDisk, tmp_path: Path
) -> None:
    contacts, before = tmp_path / "contacts.csv", contacts_of(full)
    contacts.write_text(file(KINDS))
    disk.leave(ALMOST_FULL)
    ended = engage_etl(full, *arguments(contacts))
    assert "Traceback" not in ended.err
    check_refused(full, ended.code, ended.out, before)
    disk.make_room()
    check_again(importing, prepared, full, contacts)


def test_no_room_to_apply(
    importing: Importing, prepared: Prepared, full: Settings, disk: SmallDisk, tmp_path: Path
) -> None:
    contacts, before = tmp_path / "contacts.csv", contacts_of(full)
    contacts.write_text(file(KINDS))
    command = [sys.executable, "-m", "engage_etl.cli.main", *arguments(contacts)]
    assert full.database_url is not None
    with psycopg.connect(full.database_url) as writing, psycopg.connect(full.database_url, autocommit=True) as looking:
        writing.execute(OTHER_WRITER)
        with subprocess.Popen(command, env=environment(full), stdout=subprocess.PIPE, text=True) as process:
            wait_for("the plan", lambda: looking.execute(PLANNED).fetchone())
            disk.leave(ALMOST_FULL)
            writing.rollback()
            out, _ = process.communicate(timeout=120)
    check_refused(full, process.returncode, out, before)
    disk.make_room()
    check_again(importing, prepared, full, contacts)


def test_a_server_that_has_no_room_to_answer_is_not_waited_for() -> None:
    with small_disk(128) as disk:
        embedded = EmbeddedServer(disk.folder / "data", shared_buffers="32MB", fsync=False)
        cluster = embedded.ensure_running()
        try:
            # A server writes these anew when somebody connects, and refuses if it cannot.
            for cached in (
                *cluster.folder.glob("base/*/pg_internal.init"),
                *cluster.folder.glob("global/pg_internal.init"),
            ):
                cached.unlink()
            disk.leave(0)
            with pytest.raises(
                DiskFull, match=r"^The disk of the embedded PostgreSQL in .* is full; make room, then try"
            ):
                embedded.ensure_running()
            with pytest.raises(
                DiskFull, match=r"^The disk of the server at .* is full \(.*\); make room, then try again"
            ):
                open_store(Settings(database_url=f"postgresql://{ROLE}@/postgres?host={cluster.sockets}"))
            disk.make_room()
            assert embedded.ensure_running() == cluster
        finally:
            disk.make_room()
            embedded.remove()
