"""R30: an import killed in the middle leaves the store as it was, and running again completes it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from engage_etl.settings import Settings
from engage_etl_tests.cli.commands import environment
from engage_etl_tests.importing import STAGES, Importing, as_csv
from engage_etl_tests.waiting import wait_until_given_up

# Applies an import and, at the named function, waits for its end: the statements before it have run.
APPLY_AND_HANG = """
import signal, sys
from engage_etl.applied_updates import stage, writing
from engage_etl.settings import load_settings
from engage_etl.stage_run import import_stage
from engage_etl.store.engine import open_store
def hang(*_, **__):
    print("here", flush=True)
    signal.pause()
module, name, import_id = sys.argv[1:]
setattr({"stage": stage, "writing": writing}[module], name, hang)
with open_store(load_settings()) as store, import_stage(store, import_id):
    stage.apply_updates(store, import_id)
"""


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("writing", "update_contacts"),  # addresses are vacated
        ("writing", "_create_contacts"),  # contacts are updated
        ("writing", "write_history"),  # contacts are created
        ("stage", "update_import"),  # all is written but the verdict
    ],
)
def test_killed_while_applying(importing: Importing, settings: Settings, module: str, name: str) -> None:
    importing.seed(as_csv(("user.Email", "user.Identifier"), ("a@x.org", "1"), ("b@x.org", "2")))
    before = importing.contacts(history=True)
    header = ("user.Identifier", "user.Email")
    entry = importing.plan(as_csv(header, ("1", "b@x.org"), ("2", "a@x.org"), ("3", "c@x.org")))
    with subprocess.Popen(
        [sys.executable, "-c", APPLY_AND_HANG, module, name, entry.import_id],
        env=environment(settings),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGKILL)
    assert importing.contacts(history=True) == before
    assert importing.entry(entry.import_id).status == "planned"
    wait_until_given_up(importing.store, entry.import_id)
    applied = importing.run(entry.import_id, STAGES[3:])
    assert (applied.status, applied.updated, applied.created) == ("applied", 2, 1)
    assert importing.column("identifier", "email") == [("1", "b@x.org"), ("2", "a@x.org"), ("3", "c@x.org")]
