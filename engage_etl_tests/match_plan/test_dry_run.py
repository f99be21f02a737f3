"""R35: a dry run touches nothing, and says exactly what the real run does that follows on the same store."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from sqlalchemy import select

from engage_etl.errors import UsageError
from engage_etl.store.imports import Import
from engage_etl.store.tables import METADATA
from engage_etl_tests.importing import STAGES, Importing, as_csv
from engage_etl_tests.match_plan import reference
from engage_etl_tests.match_plan.test_plan_equals_reference import fill, options_of, some_values, stores, text_of, ways

WRITTEN = ("contact", "membership", "custom_attribute", "contact_change", "contact_group")
COLUMNS = (
    "row",
    "outcome",
    "reason",
    "message",
    "contact_id",
    "changes",
    "custom",
    "email_key",
    "mobile_key",
    "member",
)


def contents(importing: Importing) -> dict[str, list[Any]]:
    """All that applying writes, row by row."""
    tables = {name: METADATA.tables[f"engage.{name}"] for name in WRITTEN}
    with importing.store.engine.connect() as connection:
        return {
            name: list(connection.execute(select(table).order_by(*table.primary_key))) for name, table in tables.items()
        }


def counts(entry: Import) -> dict[str, Any]:
    return entry.outcome_counts() | {
        "rows": entry.rows,
        "reasons": entry.reasons,
        "left_group": entry.left_group,
        "changed_fields": entry.changed_fields,
        "plan_hash": entry.plan_hash,
    }


def plan_of(importing: Importing, entry: Import) -> list[tuple[Any, ...]]:
    return [tuple(getattr(row, name) for name in COLUMNS) for row in importing.plan_rows(entry)]


@given(contacts=stores(), rows=st.lists(some_values(""), min_size=1, max_size=6), how=ways())
@settings(max_examples=30)
def test_counts_and_plan_of_a_dry_run_are_those_of_the_real_run_that_follows(
    importing: Importing, contacts: list[reference.Contact], rows: list[dict[str, str]], how: reference.Given
) -> None:
    fill(importing, contacts)
    content = text_of(rows, how.key)
    note(content)
    options = options_of(how) | {"max_rejected": "100%"}
    before = contents(importing)
    rehearsed = importing.plan(content, dry_run=True, **options)
    assert contents(importing) == before
    planned = importing.plan(content, **options)
    real_plan = plan_of(importing, planned)
    real = importing.run(planned.import_id, STAGES[3:])
    assert (real.status, real.drifted) == ("applied", 0)
    assert counts(rehearsed) == counts(real)
    assert plan_of(importing, rehearsed) == real_plan


def test_a_dry_run_has_ended_and_is_never_applied(importing: Importing) -> None:
    before = contents(importing)
    entry = importing.plan(
        as_csv(("user.Identifier", "user.Email"), ("1", "a@x.org")), dry_run=True, approval="required"
    )
    ended = importing.entry(entry.import_id)
    assert (ended.status, ended.has_ended, ended.report) == ("planned", True, f"reports/{entry.import_id}")
    with pytest.raises(UsageError, match="is a dry run, which is never applied"):
        importing.run(entry.import_id, STAGES[3:])
    assert importing.entry(entry.import_id).status == "planned"
    assert contents(importing) == before


def test_a_dry_run_says_that_a_brake_would_stop_the_import(importing: Importing) -> None:
    rows = as_csv(("user.Identifier", "user.Email"), ("1", "a@x.org"), ("", "b@x.org"))
    entry = importing.plan(rows, dry_run=True, max_rejected="0")
    assert (entry.status, entry.error_code) == ("planned", None)
    assert entry.warnings == [
        "contacts.csv: 1 of 2 rows (50.0%) are rejected, more than 0 (max-rejected). Without dry-run the import would be "
        "stopped here."
    ]
