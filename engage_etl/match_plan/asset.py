"""Asset ``match_plan``: what will happen to each row, before anything happens."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from engage_etl.triggers.partitions import IMPORTS
from engage_etl.triggers.resources import Progress, StoreResource
from engage_etl.triggers.stage_assets import GROUP, OWNERS, StageRun, counts_table, run_stage, table
from engage_etl.validated_rows.asset import validated_rows

if TYPE_CHECKING:
    from engage_etl.store.imports import Import

DESCRIPTION = """
Matches the valid rows with the contacts of the store and says for each row what will happen to it, with each changed
field's value before and after. No contact is changed yet.

**Red?** A brake stopped the import: more rows are rejected than it allows. The message has the figures; look at
`rejected.csv` in the report. Nothing was applied. Correct the file and import it again, or allow more with
`max-rejected`.
"""
ROWS_ACCOUNTED_FOR = "rows_accounted_for"


@dg.asset(
    deps=[validated_rows],
    partitions_def=IMPORTS,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres", "sql"},
    description=DESCRIPTION,
    check_specs=[
        dg.AssetCheckSpec(
            ROWS_ACCOUNTED_FOR,
            asset="match_plan",
            blocking=True,
            description="The counts of the five outcomes add up to the rows of the file, and the reasons to the rows "
            "that were skipped or rejected (R38).",
        )
    ],
)
def match_plan(context: dg.AssetExecutionContext, store: StoreResource, progress: Progress) -> dg.MaterializeResult:
    """Stage 3: plan."""
    from engage_etl.match_plan.stage import make_plan

    with run_stage(context, store) as run:
        progress.stage("match_plan", None)
        planned = make_plan(run.store, run.import_id)
        return dg.MaterializeResult(
            metadata={**_counts(planned), **_changes(run, planned), **run.duration(planned.rows)},
            check_results=[_rows_accounted_for(planned)],
        )


def _counts(planned: "Import") -> dict[str, Any]:
    return {
        "rows": planned.rows,
        **planned.outcome_counts(),
        "left_group": planned.left_group,
        "reasons": counts_table(planned.reasons, "reason"),
        "plan_hash": planned.plan_hash or "",
        "status": planned.status.value,
    }


def _changes(run: StageRun, planned: "Import") -> dict[str, Any]:
    from engage_etl.reports.samples import field_change_counts, plan_sample

    with run.store.engine.connect() as connection:
        sample = plan_sample(connection, planned.import_id, run.store.settings.sample_rows, run.shows_personal_data)
    return {"changed_fields": counts_table(field_change_counts(planned), "field"), "sample": table(sample)}


def _rows_accounted_for(planned: "Import") -> dg.AssetCheckResult:
    outcomes, reasons = planned.outcome_counts(), sum(planned.reasons.values())
    return dg.AssetCheckResult(
        check_name=ROWS_ACCOUNTED_FOR,
        passed=sum(outcomes.values()) == planned.rows and reasons == planned.skipped + planned.rejected,
        metadata={"rows": planned.rows, **outcomes, "rows_with_a_reason": reasons},
    )
