"""R36: ``kill -9`` of ``engage-etl imports revert`` leaves all or nothing, and done again it comes to its end."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from engage_etl.settings import Settings
from engage_etl_tests.cli.commands import engage_etl, environment
from engage_etl_tests.importing import Importing, as_csv
from engage_etl_tests.scenarios.striking import wait_for_backends, waiting_for
from engage_etl_tests.waiting import wait_for

pytestmark = pytest.mark.scenario
ROWS = 500
NEARLY_DONE = "LOCK TABLE engage.revert_detail IN EXCLUSIVE MODE"
"""Keeps a revert from recording what it left, after it has written everything else."""

REVERTED = "SELECT 1 FROM engage.import_register WHERE status = 'reverted'"


@pytest.fixture
def import_id(importing: Importing) -> str:
    """An import that gave half of its contacts another address, and created the other half."""
    seed = [(f"c{number}@x.org", str(number)) for number in range(ROWS // 2)]
    importing.seed(as_csv(("user.Email", "user.Identifier"), *seed))
    rows = [(str(number), f"new{number}@x.org") for number in range(ROWS)]
    return importing(as_csv(("user.Identifier", "user.Email"), *rows)).import_id


def _kill_when(settings: Settings, import_id: str, is_reached: str) -> None:
    """Revert in a process that is killed as soon as a query finds something."""
    assert settings.database_url is not None
    command = [sys.executable, "-m", "engage_etl.cli.main", "imports", "revert", import_id]
    with (
        psycopg.connect(settings.database_url, autocommit=True) as looking,
        subprocess.Popen(command, env=environment(settings), stdout=subprocess.DEVNULL) as process,
    ):
        wait_for("the moment to strike", lambda: looking.execute(is_reached).fetchone(), pause=0.005)
        process.kill()


def test_killed_in_the_middle_it_has_done_nothing(importing: Importing, settings: Settings, import_id: str) -> None:
    before = importing.contacts(history=True)
    assert settings.database_url is not None
    with closing(psycopg.connect(settings.database_url)) as other:
        other.execute(NEARLY_DONE)
        _kill_when(settings, import_id, waiting_for("revert_detail"))
        other.rollback()
    importing.store.dispose()
    wait_for_backends(settings)
    assert importing.contacts(history=True) == before
    assert importing.entry(import_id).status == "applied"
    _demand_reverted(importing, settings, import_id)


def test_killed_when_it_is_committed_it_gets_its_report_the_next_time(
    importing: Importing, settings: Settings, import_id: str
) -> None:
    _kill_when(settings, import_id, REVERTED)
    _demand_reverted(importing, settings, import_id)


def _demand_reverted(importing: Importing, settings: Settings, import_id: str) -> None:
    ended = engage_etl(settings, "imports", "revert", import_id, "--json")
    assert ended.code == 0, ended.err
    assert (ended.json["restored"], ended.json["kept"], ended.json["failed"]) == (ROWS, 0, 0)
    assert importing.column("email") == [(f"c{number}@x.org",) for number in range(ROWS // 2)]
    report: Path = settings.report_dir(ended.json["revert_id"])
    assert (report / "summary.json").exists()
