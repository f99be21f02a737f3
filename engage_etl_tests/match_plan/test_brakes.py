"""R34: brakes are decided once, after the plan, on final outcomes over all rows, strictly greater."""

from __future__ import annotations

import pytest

from engage_etl.errors import BrakeStopped
from engage_etl.match_plan.stage import brake_verdicts
from engage_etl_tests.importing import STAGES, Importing, as_csv

HEADER = ("user.Identifier", "user.Email")
PLAN = STAGES[:3]
APPLY = STAGES[3:]


def new(count: int) -> list[tuple[str, str]]:
    return [(f"n{number}", f"n{number}@x.org") for number in range(count)]


def members(importing: Importing, count: int) -> None:
    importing.seed(as_csv(("user.Email", "user.Identifier"), *((f"m{n}@x.org", f"m{n}") for n in range(count))))


@pytest.mark.parametrize(
    ("created", "updated", "others", "max_changed", "stops"),
    [
        (2, 1, 7, "3", False),  # as many as allowed
        (2, 2, 6, "3", True),
        (1, 1, 8, "20%", False),
        (2, 1, 7, "20%", True),
        (3, 0, 0, "100%", False),
        (1, 0, 0, "0", True),
        (0, 0, 4, "0%", False),
        (9, 1, 0, None, False),  # no limit unless one is given
    ],
)
def test_max_changed_counts_rows_that_create_or_update(
    importing: Importing, created: int, updated: int, others: int, max_changed: str | None, stops: bool
) -> None:
    members(importing, updated + others)
    changed = [(f"m{number}", f"new{number}@x.org") for number in range(updated)]
    same = [(f"m{number}", f"m{number}@x.org") for number in range(updated, updated + others)]
    before = importing.contacts()
    entry = importing.plan(as_csv(HEADER, *new(created), *changed, *same), max_changed=max_changed)
    assert (entry.created, entry.updated, entry.unchanged) == (created, updated, others)
    assert entry.status == ("stopped" if stops else "planned")
    if stops:
        rows = created + updated + others
        share = f"{created + updated} of {rows} rows ({(created + updated) / rows:.1%}) create or update"
        assert entry.error_code == "max_changed"
        assert entry.error_message is not None
        assert f"contacts.csv: {share}, more than {max_changed} (max-changed)" in entry.error_message
        assert f"engage-etl imports approve {entry.import_id}" in entry.error_message
        with pytest.raises(BrakeStopped, match="create or update"):
            importing.run(entry.import_id, APPLY)
        assert importing.contacts() == before


def test_members_who_leave_by_remove_are_changed_rows(importing: Importing) -> None:
    members(importing, 3)
    content = as_csv(("user.Identifier",), ("m0",), ("m1",))
    assert importing.plan(content, import_mode="remove", max_changed="2").status == "planned"
    assert importing.plan(content, import_mode="remove", max_changed="1").status == "stopped"


def test_members_whom_replace_takes_out_are_outside_the_rows(importing: Importing) -> None:
    members(importing, 5)
    entry = importing.plan(as_csv(HEADER, ("m0", "m0@x.org")), import_mode="replace", max_changed="0")
    assert (entry.status, entry.left_group) == ("planned", 4)


def test_both_brakes_are_named(importing: Importing) -> None:
    content = as_csv(HEADER, *new(2), ("", "a@x.org"), ("", "b@x.org"))
    entry = importing.plan(content, max_changed="1", max_rejected="1")
    assert (entry.status, entry.error_code) == ("stopped", "max_rejected")
    assert entry.error_message is not None
    assert "2 of 4 rows (50.0%) are rejected, more than 1 (max-rejected); 2 of 4 rows" in entry.error_message


def test_rows_that_matching_rejects_count_too(importing: Importing) -> None:
    """Final outcomes: rows that are valid, and whose address another contact keeps."""
    members(importing, 1)
    entry = importing.plan(as_csv(HEADER, ("n1", "m0@x.org"), ("n2", "n2@x.org")), max_rejected="0")
    assert (entry.status, entry.reasons) == ("stopped", {"address_in_use": 1})


def test_a_file_without_rows_is_stopped_by_nothing(importing: Importing) -> None:
    entry = importing.plan(as_csv(HEADER), max_rejected="0%", max_changed="0%")
    assert entry.status == "planned"
    assert [verdict.finding for verdict in brake_verdicts(entry)] == [
        "0 of 0 rows are rejected, no more than 0% (max-rejected)",
        "0 of 0 rows create or update, no more than 0% (max-changed)",
    ]


def test_a_stopped_import_has_its_report_and_says_what_would_change(importing: Importing) -> None:
    entry = importing.plan(as_csv(HEADER, *new(2)), max_changed="1")
    folder = importing.store.settings.report_dir(entry.import_id)
    assert importing.entry(entry.import_id).report == f"reports/{entry.import_id}"
    assert "n1@x.org" in (folder / "changes.csv").read_text()
    assert '"status": "stopped"' in (folder / "summary.json").read_text()


def test_planned_again_within_the_limits_it_goes_on(importing: Importing) -> None:
    entry = importing.plan(as_csv(HEADER, ("m0", "m0@x.org"), ("n", "n@x.org")), max_changed="1")
    assert entry.status == "stopped"
    members(importing, 1)
    again = importing.run(entry.import_id, PLAN)
    assert (again.status, again.error_code, again.error_message, again.ended_at) == ("planned", None, None, None)
    assert importing.run(entry.import_id, APPLY).status == "applied"
