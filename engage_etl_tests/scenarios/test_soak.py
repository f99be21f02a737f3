"""A thousand rows a second, with faults mixed in: nothing is lost, nothing grows (``make soak`` lasts ten minutes)."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from engage_etl.settings import Settings
from engage_etl.store.imports import Import
from engage_etl.vocabulary.outcomes import Status
from engage_etl_tests.importing import Importing
from engage_etl_tests.scenarios.service import Service, running
from engage_etl_tests.scenarios.soaking import (
    AUTOMATIONS,
    NAMES,
    ROWS,
    Arrival,
    Held,
    Strike,
    arrival,
    cut_connections,
    drop_all,
    ended_imports,
    held,
    history_of,
    kill_a_run,
    store_of_contacts,
)
from engage_etl_tests.waiting import wait_for

pytestmark = [pytest.mark.scenario, pytest.mark.longest]

SECONDS = int(os.environ.get("SOAK_SECONDS", "60"))
RESULTS = os.environ.get("SOAK_RESULTS")
WARM_UP = 12
"""Files after which each process has loaded and opened what it is going to need."""

GROWTH = 48
"""Mebibytes that seven processes may hold more than after the warm-up: what Python and Dagster keep at hand."""


@pytest.fixture
def soaked(importing: Importing, settings: Settings) -> Settings:
    """An installation with two automations, each with a thousand contacts."""
    importing.seed(store_of_contacts())
    settings.automations_file.write_text(AUTOMATIONS)
    for name in NAMES:
        (settings.drop_dir / name).mkdir(parents=True)
    return settings


def quiet(service: Service) -> Held:
    """What the service holds on to when no run is at work."""
    wait_for("a moment without runs", lambda: not service.run_processes())
    return held(service)


def all_ended(importing: Importing, arrivals: list[Arrival]) -> dict[str, Import]:
    files = {file.name for file in arrivals}
    ended = wait_for(
        "imports that have ended", lambda: ended_imports(importing.store, files), limit=60.0 + 5 * len(files), pause=1
    )
    for file in arrivals:
        file.demand_ended_as_expected(ended[file.name])
    return ended


def test_a_load_that_goes_on(importing: Importing, soaked: Settings, tmp_path: Path) -> None:
    first, then = [[arrival(number) for number in part] for part in (range(WARM_UP), range(WARM_UP, WARM_UP + SECONDS))]
    strikes = [Strike(0.2, kill_a_run), Strike(0.4, cut_connections), Strike(0.6, kill_a_run)]
    with running(soaked, tmp_path / "up.log") as service:
        drop_all(service, first, [])
        all_ended(importing, first)
        before = quiet(service)
        started = time.monotonic()
        struck = drop_all(service, then, strikes)
        ended = all_ended(importing, then)
        seconds = time.monotonic() - started
        after = quiet(service)
        assert service.end() == 0
    assert struck.total() == len(strikes)
    last = {
        name: f"n{max(file.number for file in then if applied(file) and file.automation == name)}" for name in NAMES
    }
    writes = {name: sum(applied(file) and file.automation == name for file in (*first, *then)) for name in NAMES}
    # Each contact was changed once by each file, and the file that came last has the last word.
    assert history_of(soaked) == [(name, last[name], 1 + writes[name], ROWS) for name in sorted(NAMES)]
    keep_figures(before, after, seconds, list(ended.values()))
    assert after.processes <= before.processes
    assert after.connections <= before.connections + 4
    assert after.files <= before.files + 16
    assert after.mebibytes <= before.mebibytes + GROWTH


def applied(file: Arrival) -> bool:
    """Whether the file changes contacts."""
    return file.status is Status.APPLIED


def keep_figures(before: Held, after: Held, seconds: float, ended: list[Import]) -> None:
    """Write what was measured to the file that ``SOAK_RESULTS`` names."""
    if RESULTS is None:
        return
    waits = sorted(entry.ended_at - entry.modified_at for entry in ended if entry.ended_at and entry.modified_at)
    figures = {
        "files": len(ended),
        "seconds": round(seconds, 1),
        "files_per_second": round(len(ended) / seconds, 2),
        "rows_per_second": round(sum(entry.rows for entry in ended) / seconds),
        "seconds_from_drop_to_end": {
            "median": round(waits[len(waits) // 2] / timedelta(seconds=1), 1),
            "longest": round(waits[-1] / timedelta(seconds=1), 1),
        },
        "attempts": sum(entry.attempts for entry in ended),
        "before": dataclasses.asdict(before),
        "after": dataclasses.asdict(after),
    }
    Path(RESULTS).write_text(json.dumps(figures, indent=2) + "\n")
