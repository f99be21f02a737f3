"""Asset ``match_plan``: what will happen to each row, before anything happens."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from engage_etl.triggers.approving import approval_link
from engage_etl.triggers.columns import planned_columns
from engage_etl.triggers.partitions import IMPORTS
from engage_etl.triggers.resources import Progress, StoreResource
from engage_etl.triggers.stage_assets import GROUP, OWNERS, TAGS, StageRun, counts_table, run_stage, share, table
from engage_etl.validated_rows.asset import validated_rows

if TYPE_CHECKING:
    from engage_etl.match_plan.stage import BrakeVerdict
    from engage_etl.store.imports import Import

DESCRIPTION = """
Matches the valid rows with the contacts of the store and says for each row what will happen to it, with each changed
field's value before and after. No contact is changed yet.

**Red?** A brake stopped the import: more rows are rejected, or create or update a contact, than it allows. The message
and the check have the figures; look at `rejected.csv` and `changes.csv` in the report. Nothing was applied. Correct the
file and import it again, or apply this plan all the same: open the link `approve` that stands here, fill in your name as
`by`, and launch the run.

**Green, and `applied_updates` is missing?** The import waits for approval, by the same link, or it is a dry run.
"""
ROWS_ACCOUNTED_FOR = "rows_accounted_for"
MAX_REJECTED = "max_rejected"
MAX_CHANGED = "max_changed"
UNMATCHED_SHARE = "unmatched_share"


@dg.asset(
    deps=[validated_rows],
    partitions_def=IMPORTS,
    group_name=GROUP,
    owners=OWNERS,
    tags=TAGS,
    kinds={"postgres", "sql"},
    description=DESCRIPTION,
    check_specs=[
        dg.AssetCheckSpec(
            ROWS_ACCOUNTED_FOR,
            asset="match_plan",
            blocking=True,
            description="The counts of the five outcomes add up to the rows of the file, and the reasons to the rows "
            "that were skipped or rejected (R38). Red: a mistake of the program; nothing was applied. Please report it "
            "with the figures.",
        ),
        dg.AssetCheckSpec(
            MAX_REJECTED,
            asset="match_plan",
            blocking=True,
            description="No more rows are rejected than max-rejected lets pass (R34). Red: nothing was applied. Look at "
            "`rejected.csv` in the report; correct the file and import it again, or approve the plan.",
        ),
        dg.AssetCheckSpec(
            MAX_CHANGED,
            asset="match_plan",
            blocking=True,
            description="No more rows create or update a contact than max-changed lets pass (R34). Red: nothing was "
            "applied. Look at `changes.csv` in the report; approve the plan if that is what the file is to do.",
        ),
        dg.AssetCheckSpec(
            UNMATCHED_SHARE,
            asset="match_plan",
            description="As large a share of the rows as usual had nobody to update, compared with up to 20 imports of the "
            "same automation, or by hand into the same group. Yellow: the import went on. Many: do the identifiers in the "
            "file look as before, with their leading zeros, and is it the right group? Few: has an old file come again? If "
            "it is wrong, revert the import.",
        ),
    ],
)
def match_plan(
    context: dg.AssetExecutionContext, store: StoreResource, progress: Progress
) -> Iterator[dg.MaterializeResult]:
    """Stage 3: plan."""
    from engage_etl.match_plan.stage import brake_verdicts
    from engage_etl.stage_run import plan_and_report
    from engage_etl.vocabulary.outcomes import Status

    with run_stage(context, store) as run:
        progress.stage("match_plan", None)
        planned = plan_and_report(run.store, run.import_id)
        is_stopped = planned.status is Status.STOPPED and not _is_approved(run)
        result: dg.MaterializeResult[None] = dg.MaterializeResult(
            metadata={
                **_counts(planned),
                **_changes(run, planned),
                **_columns(run, planned),
                **(run.report() if planned.report else {}),
                **run.duration(planned.rows),
            },
            check_results=[
                _rows_accounted_for(planned),
                *(_brake_check(planned, verdict, is_stopped) for verdict in brake_verdicts(planned)),
                _unmatched_check(run, planned),
            ],
        )
    yield result  # after the stage: a run that is interrupted here leaves this open, and would keep the import's lock
    if is_stopped:
        # Dagster would name the checks that failed; people get our sentence.
        raise dg.Failure(
            description=planned.error_message, metadata={**run.report(), **approval_link(planned)}, allow_retries=False
        )


def _is_approved(run: StageRun) -> bool:
    """Whether this very plan was approved before it was made again: approvals hold for a hash (R35)."""
    from engage_etl.store.approvals import find_approval

    with run.store.engine.connect() as connection:
        return find_approval(connection, run.import_id) is not None


def _brake_check(planned: "Import", verdict: "BrakeVerdict", is_stopped: bool) -> dg.AssetCheckResult:
    """What a brake says; it blocks unless the plan is approved, applied, or never applied."""
    return dg.AssetCheckResult(
        check_name=verdict.brake,
        passed=not verdict.is_exceeded,
        severity=dg.AssetCheckSeverity.ERROR if is_stopped else dg.AssetCheckSeverity.WARN,
        description=f"{planned.file}: {verdict.finding}.",
        metadata={
            "counted": verdict.rows,
            "rows": verdict.of_rows,
            "share": share(verdict.rows, verdict.of_rows),
            "limit": verdict.limit,
            "left_group": planned.left_group,
        },
    )


def _counts(planned: "Import") -> dict[str, Any]:
    return {
        "rows": planned.rows,
        **planned.outcome_counts(),
        "rejected_share": share(planned.rejected, planned.rows),
        "changed_share": share(planned.created + planned.updated, planned.rows),
        "left_group": planned.left_group,
        "reasons": counts_table(planned.reasons, "reason"),
        "plan_hash": planned.plan_hash or "",
        "status": planned.status.value,
        **approval_link(planned),
    }


def _changes(run: StageRun, planned: "Import") -> dict[str, Any]:
    from engage_etl.reports.samples import field_change_counts, plan_sample

    with run.store.engine.connect() as connection:
        sample = plan_sample(connection, planned.import_id, run.store.settings.sample_rows, run.shows_personal_data)
    return {"changed_fields": counts_table(field_change_counts(planned), "field"), "sample": table(sample)}


def _columns(run: StageRun, planned: "Import") -> dict[str, Any]:
    """The columns of the plan; none of an import whose checked rows were removed since (R42)."""
    from engage_etl.validated_rows.stage import recorded_summary

    summary = recorded_summary(run.store, run.import_id)
    by_identifier = planned.import_options.use_external_identifier
    return planned_columns(summary.columns, by_identifier=by_identifier) if summary else {}


def _unmatched_check(run: StageRun, planned: "Import") -> dg.AssetCheckResult:
    """How the share of rows without anybody to update compares with the imports before; never in the way."""
    from engage_etl.match_plan.unmatched import unmatched_share

    with run.store.engine.connect() as connection:
        found = unmatched_share(connection, planned)
    usual = {"usual_share": found.usual, "allowed_difference": found.allowed} if found.usual is not None else {}
    return dg.AssetCheckResult(
        check_name=UNMATCHED_SHARE,
        passed=not found.is_unusual,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{planned.file}: {found.finding}.",
        metadata={
            "unmatched": found.rows,
            "matched_at_all": found.of_rows,
            "share": found.share,
            "imports_compared": found.imports,
            **usual,
        },
    )


def _rows_accounted_for(planned: "Import") -> dg.AssetCheckResult:
    outcomes, reasons = planned.outcome_counts(), sum(planned.reasons.values())
    return dg.AssetCheckResult(
        check_name=ROWS_ACCOUNTED_FOR,
        passed=sum(outcomes.values()) == planned.rows and reasons == planned.skipped + planned.rejected,
        metadata={"rows": planned.rows, **outcomes, "rows_with_a_reason": reasons},
    )
