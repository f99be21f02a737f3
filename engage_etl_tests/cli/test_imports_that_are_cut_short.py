"""A run that ends beside the stages' own verdicts: Ctrl-C, a store that is kept busy, an error that nobody foresaw."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from engage_etl.settings import Settings
from engage_etl.store.imports import list_imports
from engage_etl.vocabulary.outcomes import Status
from engage_etl_tests.cli.commands import engage_etl, environment
from engage_etl_tests.importing import GROUP, Importing
from engage_etl_tests.own_dagster import own_dagster
from engage_etl_tests.waiting import wait_for

pytestmark = pytest.mark.scenario
OTHER_WRITER = "LOCK TABLE engage.contact IN ROW EXCLUSIVE MODE"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    found = [tmp_path / "first.csv", tmp_path / "second.csv"]
    for file in found:
        file.write_text("user.Identifier,user.Email\n1,a@x.org\n")
    return found


def _command(files: list[Path]) -> list[str]:
    return ["import", *map(str, files), "--group", GROUP, "--use-external-identifier", "--json"]


def _wait_for_plan(importing: Importing) -> None:
    def is_there() -> bool:
        with importing.store.engine.connect() as connection:
            return any(entry.status is Status.PLANNED for entry in list_imports(connection))

    wait_for("a plan", is_there, pause=0.05, limit=60)


def _start(settings: Settings, arguments: list[str]) -> subprocess.Popen[bytes]:
    """A command that hears Ctrl-C: where tests run in the background of a shell, children inherit that it is ignored."""
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from engage_etl.cli.main import run; run()"
    )
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment(settings), stdout=subprocess.PIPE)


def test_ctrl_c_ends_all_files_and_says_so(importing: Importing, settings: Settings, files: list[Path]) -> None:
    with importing.store.engine.begin() as writing:
        writing.exec_driver_sql(OTHER_WRITER)
        process = _start(settings, _command(files))
        try:
            _wait_for_plan(importing)
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 1
    assert [(found["file"], found["status"]) for found in json.loads(out)] == [
        ("first.csv", "failed"),
        ("second.csv", "failed"),
    ]
    assert all("interrupted, and nothing was applied" in found["error"]["message"] for found in json.loads(out))
    assert importing.contacts() == []


def test_a_store_kept_busy_is_a_sentence(
    importing: Importing, settings: Settings, files: list[Path], monkeypatch
) -> None:
    monkeypatch.setenv("ENGAGE_LOCK_WAIT_LIMIT", "0.1")
    with importing.store.engine.begin() as writing:
        writing.exec_driver_sql(OTHER_WRITER)
        ended = engage_etl(settings, *_command(files[:1]))
    assert (ended.code, ended.json["status"]) == (1, "failed")
    assert "others have been writing contacts" in ended.json["error"]["message"]
    shown = engage_etl(settings, "imports", "show", ended.json["import_id"], "--json").json
    assert shown == ended.json


@pytest.fixture
def apart(settings: Settings) -> Iterator[Settings]:
    """An installation whose Dagster shares its database with no other test."""
    with own_dagster(settings) as own:
        yield own


def _as_administrator(settings: Settings) -> psycopg.Connection:
    assert settings.database_url is not None
    return psycopg.connect(settings.database_url, dbname="postgres", autocommit=True)


def test_a_server_that_goes_away_is_a_sentence(importing: Importing, apart: Settings, files: list[Path]) -> None:
    databases = [str(importing.store.engine.url.database), apart.dagster_database]
    with importing.store.engine.begin() as writing, _as_administrator(apart) as server:
        writing.exec_driver_sql(OTHER_WRITER)
        process = subprocess.Popen(
            [sys.executable, "-m", "engage_etl.cli.main", *_command(files)],
            env=environment(apart),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with process:
            _wait_for_plan(importing)
            writing.rollback()
            for name in databases:
                refuse = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name))
                server.execute(refuse)
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY(%s)", [databases]
            )
            out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert b"Traceback" not in err and b"Retrying" not in err, err.decode()
    assert json.loads(out)["error"]["code"] == "store_unavailable"
    message = json.loads(out)["error"]["message"]
    assert message.startswith("first.csv: The PostgreSQL server gave up (") and "`engage-etl imports list`" in message
    importing.store.dispose()


def test_an_error_that_nobody_foresaw_keeps_its_details(
    importing: Importing, settings: Settings, files: list[Path]
) -> None:
    with importing.store.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE engage.contact_change RENAME TO gone")
    ended = engage_etl(settings, *_command(files[:1]))
    (log,) = (settings.root / "log").iterdir()
    assert (ended.code, ended.json["status"]) == (1, "failed")
    assert str(log) in ended.json["error"]["message"] and "Traceback" not in ended.err
    assert "contact_change" in log.read_text() and log.stat().st_mode & 0o777 == 0o600
