"""R32: that an import waits for others, and for whom, stands in the event log of its run, where the web page shows it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import dagster as dg
import pytest
from sqlalchemy import text

from engage_etl.applied_updates import waiting
from engage_etl.settings import Settings
from engage_etl.triggers.resources import Progress
from engage_etl.triggers.run_import import list_runs, run_imports
from engage_etl_tests.importing import Importing
from engage_etl_tests.waiting import wait_for


def test_r32_waiting_stands_in_the_event_log(
    importing: Importing,
    dagster_settings: Settings,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(waiting, "FIRST_SAID_AFTER", 0.0)
    importing.seed("user.Email,user.Identifier\na@x.org,1\n")
    entry = importing.entry(importing.register("user.Identifier,user.Email\n1,b@x.org\n"))
    with importing.store.engine.connect() as other, ThreadPoolExecutor(1) as thread:
        other.execute(text("SELECT * FROM engage.contact FOR UPDATE"))

        def let_it_wait() -> None:
            try:
                wait_for("it is said who is in the way", lambda: "waiting to be applied" in caplog.text, pause=0.02)
            finally:
                other.rollback()

        released = thread.submit(let_it_wait)
        run_imports(dagster_settings, [entry], Progress())
        released.result()
    assert importing.entry(entry.import_id).status == "applied"
    [run] = list_runs(instance, entry.import_id)
    told = [log for log in instance.all_logs(run.run_id) if "waiting to be applied" in log.user_message]
    assert [(log.level, log.step_key) for log in told] == [(30, "applied_updates")] * len(told) != []
    assert "In the way: process" in told[0].user_message
