"""R32: who imports by hand is told that the import waits, and for whom; and what to do if it waited in vain."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from engage_etl.settings import Settings
from engage_etl_tests.cli.commands import engage_etl, environment
from engage_etl_tests.importing import GROUP, Importing

pytestmark = pytest.mark.scenario
ROW_LOCK = "SELECT * FROM engage.contact FOR UPDATE"


@pytest.fixture
def command(importing: Importing, tmp_path: Path) -> list[str]:
    """An import that changes a contact."""
    importing.seed("user.Email,user.Identifier\na@x.org,1\n")
    file = tmp_path / "[contacts].csv"
    file.write_text("user.Identifier,user.Email\n1,b@x.org\n")
    return ["import", str(file), "--group", GROUP, "--use-external-identifier", "--json"]


def test_the_terminal_says_who_is_waited_for(importing: Importing, settings: Settings, command: list[str]) -> None:
    with importing.store.engine.connect() as other:
        other.execute(text(ROW_LOCK))
        pid = other.scalar(text("SELECT pg_backend_pid()"))
        arguments = [sys.executable, "-m", "engage_etl.cli.main", *command]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(arguments, env=environment(settings), text=True, **pipes) as process:
            assert process.stderr is not None
            said = process.stderr.readline()
            other.rollback()
            out, err = process.communicate(timeout=60)
    assert said.startswith("[contacts].csv: waiting to be applied, for ")
    assert f"In the way: process {pid} (engage-etl, user " in said and said.endswith(" UTC).\n")
    assert "[contacts].csv: applied now, after waiting for " in err
    assert (process.returncode, json.loads(out)["status"], json.loads(out)["updated"]) == (0, "applied", 1)


def test_an_import_that_waited_in_vain_says_for_whom_and_succeeds_the_next_time(
    importing: Importing, settings: Settings, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGAGE_LOCK_WAIT_LIMIT", "0.1")
    with importing.store.engine.connect() as other:
        other.execute(text(ROW_LOCK))
        pid = other.scalar(text("SELECT pg_backend_pid()"))
        ended = engage_etl(settings, *command)
    assert (ended.code, ended.json["status"], ended.json["updated"]) == (1, "failed", 1)
    message = ended.json["error"]["message"]
    assert f"In the way: process {pid} (" in message and "then run the import again" in message
    assert importing.column("email") == [("a@x.org",)]
    again = engage_etl(settings, *command)
    assert (again.code, again.json["status"]) == (0, "applied")
    assert importing.column("email") == [("b@x.org",)]
