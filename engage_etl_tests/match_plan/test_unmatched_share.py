"""An unusual share of rows without anybody to update warns, measured by median and MAD of the imports before."""

from __future__ import annotations

from typing import Any

import pytest

from engage_etl.match_plan.unmatched import FEWEST_IMPORTS, MOST_IMPORTS, UnmatchedShare, unmatched_share
from engage_etl.store.imports import update_import
from engage_etl.vocabulary.outcomes import Status
from engage_etl_tests.importing import Importing


class Past:
    """Imports with made-up counts, as the register has them."""

    def __init__(self, importing: Importing) -> None:
        self._importing = importing

    def add(self, unmatched: int, rows: int = 1000, status: Status = Status.APPLIED, **given: Any) -> str:
        columns = {name: given.pop(name) for name in ("reasons", "rejected", "amends", "automation") if name in given}
        import_id = self._importing.register("x", **given)
        with self._importing.store.engine.begin() as connection:
            update_import(connection, import_id, status=status, rows=rows, created=unmatched, **columns)
        return import_id

    def compare(self, unmatched: int, rows: int = 1000, **given: Any) -> UnmatchedShare:
        import_id = self.add(unmatched, rows, Status.PLANNED, **given)
        with self._importing.store.engine.connect() as connection:
            return unmatched_share(connection, self._importing.entry(import_id))


@pytest.fixture
def past(importing: Importing) -> Past:
    return Past(importing)


def test_nothing_is_unusual_before_there_are_enough_imports(past: Past) -> None:
    for _ in range(FEWEST_IMPORTS - 1):
        past.add(10)
    few = past.compare(900)
    assert (few.is_unusual, few.share, few.usual) == (False, 0.9, None)
    past.add(10)
    enough = past.compare(900)
    assert (enough.is_unusual, enough.usual) == (True, 0.01)
    assert "900 of 1,000 rows (90.0%) had nobody to update; usual in the 5 imports before is 1.0%" in enough.finding


def test_where_imports_hardly_stray_five_points_are_let_pass(past: Past) -> None:
    for _ in range(6):
        past.add(10)
    assert (past.compare(59).is_unusual, past.compare(61).is_unusual) == (False, True)


def test_where_they_stray_more_is_let_pass_and_few_are_unusual_too(past: Past) -> None:
    for unmatched in (200, 300, 400, 500, 600, 300, 500):
        past.add(unmatched)
    found = past.compare(799)
    assert (found.usual, found.is_unusual) == (0.4, False)
    assert found.allowed == pytest.approx(3 * 1.4826 * 0.1)
    for _ in range(13):
        past.add(950)
    assert past.compare(400).is_unusual


def test_the_first_load_does_not_make_the_next_ones_usual(past: Past) -> None:
    past.add(100_000, 100_000)
    for _ in range(6):
        past.add(10)
    assert past.compare(500).is_unusual, "mean and standard deviation would let this pass"


@pytest.mark.parametrize(("unmatched", "rows"), [(1, 1), (1, 2), (1, 10), (0, 0)])
def test_few_rows_are_no_reason_to_warn(past: Past, unmatched: int, rows: int) -> None:
    for _ in range(6):
        past.add(0)
    assert not past.compare(unmatched, rows).is_unusual


def test_only_the_last_twenty_count(past: Past) -> None:
    for _ in range(MOST_IMPORTS + 5):
        past.add(900)
    for _ in range(MOST_IMPORTS):
        past.add(10)
    found = past.compare(10)
    assert (found.imports, found.usual, found.is_unusual) == (MOST_IMPORTS, 0.01, False)


def test_like_is_compared_with_like(past: Past) -> None:
    for other in (
        {"status": Status.REVERTED},
        {"status": Status.FAILED},
        {"import_mode": "add"},
        {"use_external_identifier": False},
        {"automation": "crm"},
        {"amends": "another"},
    ):
        past.add(10, **other)  # type: ignore[arg-type]
    assert past.compare(10).imports == 0
    past.add(10)
    assert past.compare(10).imports == 1
    assert past.compare(10, automation="crm").imports == 1
    assert past.compare(10, amends="another").imports == 0


def test_what_counts_as_unmatched(past: Past) -> None:
    reasons = {"no_standard_identifier": 3, "not_in_mode": 5, "superseded": 10}
    usual = past.compare(2, 110, reasons=reasons, rejected=50)
    assert (usual.rows, usual.of_rows) == (5, 50), "rejected and superseded rows were not matched"
    members = past.compare(0, 110, reasons=reasons, import_mode="update-current-members")
    assert members.rows == 8, "nobody to update among the members"
