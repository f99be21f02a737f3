"""The benchmark at a tiny size: its programs do the same work, and what it reports is what happened."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from benchmarks.chart import draw
from benchmarks.files import write_file
from benchmarks.floor import run_floor
from benchmarks.growth import Growth, Size
from benchmarks.options import read_options
from benchmarks.ours import run_import
from benchmarks.results import FLOOR, OURS, Measured, Results
from benchmarks.reverting import RevertTiming, import_and_revert
from benchmarks.server import BenchServer
from benchmarks.statements import longest_statements
from benchmarks.steps import STEPS
from benchmarks.store_filling import fill_store
from benchmarks.tables import as_markdown
from benchmarks.timing import Timing
from benchmarks.workload import Kind, Workload
from benchmarks.writer_wait import Waits, WriterWait, measure_waits
from engage_etl.settings import Settings
from engage_etl.store.cluster import locate_cluster
from engage_etl.store.engine import Store
from engage_etl_tests.conftest import SERVER_FOLDER
from engage_etl_tests.importing import Importing

ROWS = 400
CONTACTS = (
    "SELECT c.identifier, c.email, c.email_key, c.mobile_number, c.mobile_key, c.first_name, c.last_name, c.zip_code,"
    " c.country_code, c.language_code, c.date_of_birth, c.title, c.custom, c.version, count(m.group_id)"
    " FROM engage.contact AS c LEFT JOIN engage.membership AS m USING (contact_id)"
    " GROUP BY c.contact_id ORDER BY c.identifier"
)


@pytest.fixture
def filled(store: Store, tmp_path: Path) -> Importing:
    """A store as the benchmark fills it."""
    with psycopg.connect(str(store.settings.database_url), autocommit=True) as connection:
        fill_store(connection, 2 * ROWS)
    return Importing(store, tmp_path)


@pytest.fixture
def bench_server(settings: Settings, tmp_path: Path) -> Iterator[BenchServer]:
    """The test server as the benchmark knows it; Dagster's instance puts its names into the environment."""
    before = dict(os.environ)
    yield BenchServer(tmp_path, settings, locate_cluster(Path(os.environ[SERVER_FOLDER])))
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def copied(filled: Importing, bench_server: BenchServer) -> Iterator[str]:
    """The name of a copy of the filled store's database."""
    name, copy = str(filled.store.engine.url.database), f"{filled.store.engine.url.database}_copy"
    filled.store.dispose()
    bench_server.copy(name, copy)
    yield copy
    bench_server.drop(copy)


def contacts(server: BenchServer, database: str) -> dict[str, tuple[Any, ...]]:
    """All contacts by identifier, with their versions and numbers of groups."""
    with server.connect(database) as connection:
        return {row[0]: row[1:] for row in connection.execute(CONTACTS)}


@pytest.mark.parametrize("name", ["A", "B"])
def test_the_floor_and_our_import_leave_the_same_contacts(
    name: str, filled: Importing, copied: str, bench_server: BenchServer
) -> None:
    workload = Workload(name, ROWS)
    file = write_file(filled.folder, workload, "csv")
    before = contacts(bench_server, copied)

    timing = run_floor(bench_server, file, skips_unchanged=True, database=copied)
    entry = filled(file)

    ours, floor = contacts(bench_server, str(filled.store.engine.url.database)), contacts(bench_server, copied)
    assert list(timing.steps) == ["copy", "analyze", "update", "insert", "commit"]
    assert entry.outcome_counts() == workload.expected()
    assert len(ours) == 2 * ROWS + workload.rows_of(Kind.NEW)
    differing = {identifier for identifier in ours if ours[identifier] != floor[identifier]}
    # The floor checks nothing: it stores what is no address.
    assert all("(at)" in floor[identifier][0] for identifier in differing)
    assert len(differing) == workload.rows_of(Kind.BAD_EMAIL)
    assert ours.keys() == floor.keys()
    changed = sum(ours[identifier] != row for identifier, row in before.items())
    assert changed == workload.expected()["updated"]


def test_the_plain_floor_writes_unchanged_rows_too(copied: str, bench_server: BenchServer, tmp_path: Path) -> None:
    workload = Workload("B", ROWS)

    run_floor(bench_server, write_file(tmp_path, workload, "csv"), database=copied)

    versions = [row[-2] for row in contacts(bench_server, copied).values()]
    assert versions.count(2) == ROWS - workload.rows_of(Kind.NEW)


@pytest.mark.parametrize("name", ["A", "B"])
def test_xml_has_the_rows_of_csv(name: str, filled: Importing) -> None:
    workload = Workload(name, ROWS)
    plans = [filled.plan(write_file(filled.folder, workload, file_format)) for file_format in ("csv", "xml")]
    changes = [list(filled.changes(plan).values()) for plan in plans]
    assert changes[0] == changes[1]
    assert plans[1].outcome_counts() == workload.expected()


def test_another_round_changes_as_much(filled: Importing) -> None:
    for turn in (1, 2):
        workload = Workload("A", ROWS, turn)
        assert filled(write_file(filled.folder, workload, "csv")).outcome_counts() == workload.expected()


def test_shares_are_those_of_the_issue() -> None:
    rewrite, nightly = Workload("A", 1_000_000), Workload("B", 1_000_000)
    matching = sum(rewrite.rows_of(kind) for kind in (Kind.EMAIL, Kind.BAD_EMAIL, Kind.DUPLICATE))
    assert (matching, rewrite.rows_of(Kind.NEW), rewrite.rows_of(Kind.UNKNOWN)) == (900_000, 50_000, 50_000)
    assert (rewrite.rows_of(Kind.BAD_EMAIL), rewrite.rows_of(Kind.DUPLICATE)) == (20_000, 5_000)
    assert nightly.rows_of(Kind.UNCHANGED) == 700_000 and nightly.rows_of(Kind.PROFILE) == 270_000
    assert nightly.rows_of(Kind.EMAIL) + nightly.rows_of(Kind.MOBILE) == 10_000
    assert nightly.rows_of(Kind.NEW) == 20_000
    assert sum(rewrite.expected().values()) == sum(nightly.expected().values()) == 1_000_000


def test_our_import_is_measured_from_start_to_end_and_step_by_step(
    filled: Importing, bench_server: BenchServer
) -> None:
    workload = Workload("A", ROWS)

    timing = run_import(bench_server, write_file(filled.folder, workload, "csv"))

    assert timing.counts == workload.expected()
    assert tuple(timing.steps) == STEPS and min(timing.steps.values()) >= 0
    assert sum(timing.steps.values()) == pytest.approx(timing.seconds)
    assert timing.peak_mb is not None and timing.peak_mb > 50
    assert not list(filled.store.settings.root.glob("imports/*"))


def test_a_revert_restores_the_store_of_the_benchmark(filled: Importing, bench_server: BenchServer) -> None:
    workload = Workload("A", ROWS)
    file, database = write_file(filled.folder, workload, "csv"), str(filled.store.engine.url.database)
    timing = import_and_revert(bench_server, file, ROWS, database)
    assert timing.restored == workload.expected()["updated"] + workload.expected()["created"]


def measured(workload: str, rows: int, program: str, *seconds: float) -> Measured:
    runs = tuple(Timing(one, {"update": one}, 100.0) for one in seconds)
    return Measured(workload, rows, "csv", program, runs)


def test_results_are_ratios_to_the_floor_of_the_same_size(tmp_path: Path) -> None:
    results = Results(
        {"cores": 2, "memory_gib": 4, "python": "3", "server": {"server_version": "18"}, "commit": "c", "at": "now"},
        (
            measured("A", 400, FLOOR, 1.0),
            measured("A", 800, FLOOR, 2.0, 4.0, 9.0),
            measured("A", 800, OURS, 6.0),
            measured("A", 400, "other", 30.0),
        ),
        Growth(400, 800, 1000, (1.0,), ({"contact": Size(10**7, 10**7)}, {"contact": Size(10**7, 4 * 10**7)}), {}),
        WriterWait(400, 5.0, {"match plan": Waits(3, 1.0, 12.5)}),
        RevertTiming(400, 5.0, 4.0, 100.0, 370),
    )
    results.write(tmp_path / "results.json")
    draw(results, tmp_path / "results.png")

    written = json.loads((tmp_path / "results.json").read_text())
    assert [one["times_the_floor"] for one in written["measured"]] == [1.0, 1.0, 1.5, 30.0]
    text = as_markdown(results)
    assert "| A, full rewrite | 800 | csv | engage-etl | 6.0 | 1.50 | 133 | 100 |" in text
    assert "| A | other | 400 | 75,000.0 | 10.00 |" in text
    assert "| contact | 20.0 | 50.0 | 50.0 | 2.50 | 1.00 | 1.00 | 4.00 |" in text
    assert "| match plan | 3 | 1.0 | 12.5 |" in text
    assert "| 400 | 5.0 | 4.0 | 0.80 | 370 | 100 |" in text
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")


def test_a_wait_counts_in_each_step_with_its_part() -> None:
    waits = measure_waits([(0.0, 0.5), (0.5, 3.0)], {"plan": (0.0, 1.0), "apply": (1.0, 4.0)})
    assert waits == {"plan": Waits(2, 500.0, 500.0), "apply": Waits(1, 2000.0, 2000.0)}


def test_statements_are_listed_the_longest_first() -> None:
    log = (
        "2026-11-24 19:00:00.000 UTC [1] LOG:  duration: 512.3 ms  statement: ANALYZE staged_row\n"
        "2026-11-24 19:00:01.000 UTC [1] LOG:  duration: 2048.0 ms  execute <unnamed>: UPDATE engage.contact\n"
        "\tSET email = $1\n"
        "2026-11-24 19:00:02.000 UTC [1] WARNING:  something else\n"
    )
    assert [line.split(maxsplit=2) for line in longest_statements(log)] == [
        ["2.05", "s", "UPDATE engage.contact SET email = $1"],
        ["0.51", "s", "ANALYZE staged_row"],
    ]


def test_options_that_do_not_fit_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    options = read_options(["--workload", "A", "--rows", "400", "--only", "floor,ours"], ["floor", "ours", "dlt"])
    assert options.only == ("floor", "ours")
    assert options.files() == [(Workload("A", 400), "csv")]
    for wrong, named in ((["--only", "flor"], "'flor'"), (["--rows", "300"], "not 300")):
        with pytest.raises(SystemExit):
            read_options(wrong, ["floor"])
        assert named in capsys.readouterr().err
