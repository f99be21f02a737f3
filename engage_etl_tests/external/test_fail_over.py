"""A server that is restarted during an import, at each stage, and one whose place a standby takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, text

from engage_etl import stage_run
from engage_etl.cli.import_runs import import_by_hand
from engage_etl.errors import StoreUnavailable
from engage_etl.settings import Settings
from engage_etl.store.engine import connection_facts, dagster_database_url, open_store, upgrade_store
from engage_etl.store.outages import is_connection_lost
from engage_etl.vocabulary.options import ImportOptions
from engage_etl_tests.cli.commands import environment
from engage_etl_tests.external.conftest import IMPORTER, MIGRATOR
from engage_etl_tests.external.servers import PASSWORD, Server, debian_server, folder_of_account, free_port
from engage_etl_tests.importing import GROUP, STAGES, Importing

STEPS = ("raw_file", "validated_rows", "match_plan", "applied_updates")


class Restart:
    """Restarts a server, as a crash does, in the midst of a stage."""

    def __init__(self, server: Server, step: str, database: str) -> None:
        self._server, self._step, self._database = server, step, database
        self._current, self._left = "", 3
        self.is_done = False

    @contextmanager
    def watch(self, original: Any, store: Any, import_id: str, step: str) -> Iterator[None]:
        """In place of ``logged_step``: remembers which stage is at work."""
        self._current = step
        with original(store, import_id, step):
            yield
        self._current = ""

    def strike(self, connection: Connection, *_: object) -> None:
        """Before each statement: the third one in the store that the stage sends finds no server any more."""
        if self.is_done or self._current != self._step or connection.engine.url.database != self._database:
            return
        self._left -= 1
        if self._left == 0:
            self.is_done = True
            self._server.stop("immediate")
            self._server.start()


@pytest.mark.parametrize("step", STEPS)
def test_a_restart_during_a_stage(
    importing: Importing, settings: Settings, debian: Server, tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    restart = Restart(debian, step, str(importing.store.engine.url.database))
    original = stage_run.logged_step
    monkeypatch.setattr(stage_run, "logged_step", lambda *given: restart.watch(original, *given))
    source = tmp_path / "crm.csv"
    source.write_text("user.Email,user.Identifier\nann@x.org,1\nbob@x.org,2\n")
    event.listen(Engine, "before_cursor_execute", restart.strike)
    try:
        [entry] = import_by_hand(
            importing.store, [source], ImportOptions(group=GROUP, use_external_identifier=True), "ann"
        )
    finally:
        event.remove(Engine, "before_cursor_execute", restart.strike)
    assert restart.is_done
    assert (entry.status, entry.created, entry.error_message) == ("applied", 2, None)
    assert importing.column("email") == [("ann@x.org",), ("bob@x.org",)]
    assert [len(contact["history"]) for contact in importing.contacts(history=True)] == [1, 1]


@pytest.fixture
def primary() -> Iterator[Server]:
    with debian_server("primary", {"shared_buffers": "32MB"}, {}) as server:
        with server.connect() as connection:
            for user in (MIGRATOR, IMPORTER):
                connection.execute(f"CREATE ROLE {user} LOGIN CREATEROLE PASSWORD '{PASSWORD}'")  # type: ignore[call-overload]
            connection.execute(f"CREATE DATABASE crm OWNER {MIGRATOR}")
            connection.execute(f"CREATE DATABASE dagster OWNER {IMPORTER}")
            upgrade_store(Settings(database_url=server.url(MIGRATOR, "crm")))
            connection.execute(f"GRANT engage_app TO {IMPORTER}")
        yield server


@pytest.fixture
def standby(primary: Server) -> Iterator[Server]:
    """A copy of the primary that follows it."""
    with folder_of_account(primary.account, "standby") as folder:
        server = replace(primary, folder=folder, port=free_port())
        cluster = folder / "cluster"
        server.run("pg_basebackup", "-d", primary.url(), "-D", cluster, "-R", "-X", "stream", "-c", "fast", "--no-sync")
        with (cluster / "postgresql.conf").open("a") as configuration:
            configuration.write(f"port = '{server.port}'\nunix_socket_directories = '{folder}'\n")
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")


def test_a_standby_takes_the_place_of_a_server(primary: Server, standby: Server, tmp_path: Path) -> None:
    hosts = f"127.0.0.1:{standby.port},127.0.0.1:{primary.port}"
    password = PASSWORD.replace("/", "%2F")
    url = f"postgresql://{IMPORTER}:{password}@{hosts}/crm"
    settings = Settings(data_dir=tmp_path / "data", database_url=f"{url}?target_session_attrs=read-write")
    with pytest.raises(StoreUnavailable, match=r"is a standby, .* target_session_attrs=read-write") as raised:
        open_store(settings.model_copy(update={"database_url": url}))
    assert is_connection_lost(raised.value), "it may be the primary in a moment"
    with open_store(settings) as store:
        importing = Importing.prepare(store, tmp_path / "files")
        entry = importing.plan("user.Email,user.Identifier\nann@x.org,1\n")
        assert connection_facts(settings)["PGPORT"] == str(primary.port)
        primary.stop()
        standby.run("pg_ctl", "promote", "-D", standby.folder / "cluster", "-w", "-s")
        assert importing.run(entry.import_id, STAGES[3:]).status == "applied"
        assert importing.column("email") == [("ann@x.org",)]
        facts = connection_facts(settings)
        assert (facts["PGHOST"], facts["PGPORT"]) == ("127.0.0.1", str(standby.port))
    dagster = create_engine(dagster_database_url(settings))
    with dagster.connect() as connection:
        assert connection.scalar(text("SHOW port")) == str(standby.port)
    dagster.dispose()
