"""R32: a stage of an import never runs twice at once, in whatever processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from engage_etl.errors import ImportBusy
from engage_etl.settings import Settings
from engage_etl.stage_run import import_stage
from engage_etl_tests.cli.commands import environment
from engage_etl_tests.importing import Importing, as_csv
from engage_etl_tests.waiting import wait_until_given_up

CONTENT = as_csv(("user.Identifier", "user.Email"), ("1", "a@x.org"))

# Another process at work on a stage of an import, until its standard input ends.
AT_WORK = """
import sys
from engage_etl.settings import load_settings
from engage_etl.stage_run import import_stage
from engage_etl.store.engine import open_store
with open_store(load_settings()) as store, import_stage(store, sys.argv[1]):
    print("at work", flush=True)
    sys.stdin.read()
"""


@contextmanager
def at_work_elsewhere(settings: Settings, import_id: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", AT_WORK, import_id]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environment(settings), text=True, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        yield process


@pytest.mark.parametrize("ends", ["by itself", "killed"])
def test_of_two_processes_one_gets_the_import(importing: Importing, settings: Settings, ends: str) -> None:
    import_id = importing.register(CONTENT)
    with at_work_elsewhere(settings, import_id) as process:
        with pytest.raises(ImportBusy, match=f"Import {import_id} is being worked on by another process; wait until"):
            importing.run(import_id)
        assert importing.entry(import_id).status == "received"
        assert importing(CONTENT, name="another.csv").status == "applied"
        if ends == "killed":
            process.kill()
    wait_until_given_up(importing.store, import_id)
    assert importing.run(import_id).status == "applied"


def test_of_two_threads_one_gets_the_import(importing: Importing) -> None:
    import_id = importing.register(CONTENT)
    with import_stage(importing.store, import_id), pytest.raises(ImportBusy):
        importing.run(import_id)
    assert importing.run(import_id).status == "applied"
