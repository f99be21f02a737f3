"""A run that ends beside the stages' own verdicts: Ctrl-C, a store that is kept busy, an error that nobody foresaw."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engage_etl.settings import Settings
from engage_etl.store.imports import list_imports
from engage_etl.vocabulary.outcomes import Status
from engage_etl_tests.cli.commands import engage_etl, environment
from engage_etl_tests.importing import GROUP, Importing

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


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _start(settings: Settings, arguments: list[str]) -> subprocess.Popen[bytes]:
    """A command that hears Ctrl-C: where tests run in the background of a shell, children inherit that it is ignored."""
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from engage_etl.cli.main import run; run()"
    )
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment(settings), stdout=subprocess.PIPE)


def test_ctrl_c_ends_all_files_and_says_so(importing: Importing, settings: Settings, files: list[Path]) -> None:
    def waits_to_apply() -> bool:
        with importing.store.engine.connect() as connection:
            return any(entry.status is Status.PLANNED for entry in list_imports(connection))

    with importing.store.engine.begin() as writing:
        writing.exec_driver_sql(OTHER_WRITER)
        process = _start(settings, _command(files))
        try:
            _wait(waits_to_apply)
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
