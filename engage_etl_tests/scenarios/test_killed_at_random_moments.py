"""R30: killed at any moment of any stage and run again, an import leaves what an undisturbed one leaves, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engage_etl.settings import Settings
from engage_etl.store.cluster import ROLE
from engage_etl.validated_rows import stage_writer
from engage_etl_tests.importing import Importing
from engage_etl_tests.scenarios.forking import NAMES, Forking, forking
from engage_etl_tests.scenarios.striking import struck, undisturbed

IN_TIME, BEFORE_A_STATEMENT = 15, 5
"""Twenty moments for each stage, a quarter of them tied to statements and commits."""


ROWS_OF_A_GROUP = 50
"""So that the 360 rows of the file are several row groups, as those of a large file."""


@pytest.fixture(scope="module")
def process() -> Iterator[Forking]:
    with forking(ROWS_OF_A_GROUP) as started:
        yield started


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Chunks so small that stage files are written in several steps, and several row groups in them."""
    monkeypatch.setattr(stage_writer, "ROWS_OF_A_GROUP", ROWS_OF_A_GROUP)
    return settings.model_copy(update={"chunk_rows": 50})


@pytest.mark.longest
@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_killed(importing: Importing, server: str, process: Forking, tmp_path: Path, number: int) -> None:
    # The rows of a large file are checked in a second process, which must not outlive the first, and loaded over several
    # connections, whose table must not outlive the plan.
    as_large = {"ranges_from": 1} if NAMES[number] in ("validate_rows", "plan_and_report") else None
    whole = undisturbed(importing, process, f"host={server} user={ROLE}", tmp_path / "copy", number, as_large)
    for moment in whole.moments(in_time=IN_TIME, before_a_statement=BEFORE_A_STATEMENT):
        with struck(whole, process, tmp_path / "copy", moment) as (settings, ending):
            assert ending.error is None, ending.error
            whole.demand_all_or_nothing(settings)
            process.run_whole(settings.model_copy(update=as_large), whole.prepared.import_id)
            whole.demand_equal(settings)
