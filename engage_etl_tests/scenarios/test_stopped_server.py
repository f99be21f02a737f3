"""R30: a PostgreSQL that goes down while an import is applied, as at a power cut, has applied all of it or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engage_etl.store.cluster import ROLE
from engage_etl.store.embedded import EmbeddedServer
from engage_etl_tests.conftest import stoppable_server, with_template
from engage_etl_tests.importing import STAGES, Importing
from engage_etl_tests.scenarios.forking import Forking, forking
from engage_etl_tests.scenarios.striking import struck, undisturbed

IN_TIME = 5


@pytest.fixture(scope="module")
def embedded() -> Iterator[EmbeddedServer]:
    with stoppable_server("stopped") as started:
        yield started


@pytest.fixture(scope="module")
def server(embedded: EmbeddedServer) -> str:
    return with_template(embedded)


@pytest.fixture(scope="module")
def process() -> Iterator[Forking]:
    with forking() as started:
        yield started


def _temporary_files(embedded: EmbeddedServer) -> list[Path]:
    """Files of temporary tables, and those of sorts that did not fit into memory."""
    folder = embedded.ensure_running().folder
    return [*folder.glob("base/*/t[0-9]*_*"), *folder.glob("base/pgsql_tmp/*")]


def test_stopped_while_applying(
    importing: Importing, embedded: EmbeddedServer, server: str, process: Forking, tmp_path: Path
) -> None:
    number, copy = len(STAGES) - 1, tmp_path / "copy"
    whole = undisturbed(importing, process, f"host={server} user={ROLE}", copy, number)
    restarted = {"server": embedded.data_folder, "restart": embedded.ensure_running}
    for moment in whole.commits() + whole.moments(in_time=IN_TIME, before_a_statement=0):
        with struck(whole, process, copy, moment, **restarted) as (settings, ending):
            # Stopped a moment after the commit, what is missing is the report.
            said = ("sqlalchemy.exc.OperationalError", "ReportMissing")
            assert ending.error is None or any(name in ending.error for name in said), ending.error
            whole.demand_all_or_nothing(settings)
            assert _temporary_files(embedded) == []
            process.run_whole(settings, whole.prepared.import_id)
            whole.demand_equal(settings)
