"""Asset ``applied_updates``: the plan, carried out in one transaction."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from engage_etl.match_plan.asset import match_plan
from engage_etl.triggers.approving import approval_link
from engage_etl.triggers.columns import applied_columns, columns_table
from engage_etl.triggers.partitions import IMPORTS
from engage_etl.triggers.resources import Progress, StoreResource
from engage_etl.triggers.run_queue import started_by
from engage_etl.triggers.stage_assets import GROUP, OWNERS, TAGS, StageRun, counts_table, run_stage, share, table

if TYPE_CHECKING:
    from engage_etl.store.imports import Import
    from engage_etl.validated_rows.stage_files import StageSummary

DESCRIPTION = """
Applies exactly the plan that was made, all of it or nothing, and writes the history of each contact, the report, and
puts the file into `done/`. Applied once, it changes nothing again.

**Red?** Nothing was applied. The message says why: another program held the contacts too long, or the server went
away. Materialize it again for this partition: it goes on from the plan. Or the plan waits for an approval: to materialize
this asset approves nothing. Open the link `approve` of `match_plan`, which starts the job `apply_plan` for this partition,
and fill in your name as `by`.
"""


class Approving(dg.Config):
    """Who approves which plan; the job ``apply_plan`` asks for both. Left out: nobody does."""

    by: str | None = Field(None, description="Your name, if you approve the plan of this import.")
    plan_hash: str | None = Field(None, description="The plan_hash of match_plan that you have looked at.")


@dg.asset(
    deps=[match_plan],
    partitions_def=IMPORTS,
    group_name=GROUP,
    owners=OWNERS,
    tags=TAGS,
    kinds={"postgres", "sql"},
    description=DESCRIPTION,
    output_required=False,
)
def applied_updates(
    context: dg.AssetExecutionContext, config: Approving, store: StoreResource, progress: Progress
) -> Iterator[dg.MaterializeResult]:
    """Stage 4: apply. A run that has just made a plan that waits, or that is never applied, ends here (R35)."""
    from engage_etl.applied_updates.stage import approve_plan
    from engage_etl.stage_run import apply_and_finish

    with run_stage(context, store) as run:
        if config.by is not None or config.plan_hash is not None:
            by = started_by(context.run.tags, config.by)
            approve_plan(run.store, run.import_id, by=by or "", plan_hash=config.plan_hash or "")
        elif _has_made_the_plan(context) and _is_left_unapplied(run, context):
            return
        progress.stage("applied_updates", None)
        apply_and_finish(run.store, run.import_id)
        metadata = _metadata(run)
    yield dg.MaterializeResult(metadata=metadata)  # after the stage, which holds the import's lock


def _has_made_the_plan(context: dg.AssetExecutionContext) -> bool:
    """Whether the plan is a stage of this run: by itself, this asset says in red that a plan is not approved."""
    return match_plan.key in context.job_def.asset_layer.executable_asset_keys


def _is_left_unapplied(run: StageRun, context: dg.AssetExecutionContext) -> bool:
    """Whether the plan that was made just now is not applied; the run says why, and where a person approves it."""
    from engage_etl.store.approvals import find_approval
    from engage_etl.store.imports import find_import

    with run.store.engine.connect() as connection:
        entry, approval = find_import(connection, run.import_id), find_approval(connection, run.import_id)
    if entry.is_dry_run:
        context.log.warning(f"{entry.file}: a dry run ends with its plan and its report; nothing is applied.")
        return True
    if not entry.status.waits or approval is not None:
        return False
    # Beside the sentence, so that nobody has to look for the links in the metadata of the plan.
    links = {"report_page": run.report()["report_page"], **approval_link(entry)}
    context.log_event(dg.AssetObservation(match_plan.key, partition=run.import_id, metadata=links))
    context.log.warning(
        f"{entry.file}: the plan waits for approval. Look at its report, then open the link approve and give your name."
    )
    return True


def _metadata(run: StageRun) -> dict[str, Any]:
    from engage_etl.reports.samples import field_change_counts, plan_sample
    from engage_etl.store.approvals import find_approval
    from engage_etl.store.imports import find_import
    from engage_etl.validated_rows.stage import recorded_summary

    with run.store.engine.connect() as connection:
        applied, approval = find_import(connection, run.import_id), find_approval(connection, run.import_id)
        sample = plan_sample(connection, run.import_id, run.store.settings.sample_rows, run.shows_personal_data)
    summary = recorded_summary(run.store, run.import_id)
    return {
        "rows": applied.rows,
        **applied.outcome_counts(),
        "rejected_share": share(applied.rejected, applied.rows),
        "changed_share": share(applied.created + applied.updated, applied.rows),
        "left_group": applied.left_group,
        "drifted": applied.drifted,
        "reasons": counts_table(applied.reasons, "reason"),
        "changed_fields": counts_table(field_change_counts(applied), "field"),
        "plan_hash": applied.plan_hash or "",
        "approved_by": approval.approved_by if approval else "nobody, and nobody had to",
        "status": applied.status.value,
        "sample": table(sample),
        **(_columns(applied, summary) if summary else {}),
        **_seconds_until(applied),
        **run.report(),
        **run.duration(applied.rows),
    }


def _columns(applied: "Import", summary: "StageSummary") -> dict[str, Any]:
    """The columns of the file and where their values went."""
    rows = columns_table(summary.columns, applied.field_counts())
    return {"columns_of_the_file": table(rows), **applied_columns(summary.columns)}


def _seconds_until(applied: "Import") -> dict[str, float]:
    """How long after its arrival each stage of an import ended, the time in which it waited among it."""
    ends = {"validated": applied.validated_at, "planned": applied.planned_at, "applied": applied.applied_at}
    return {f"seconds_until_{name}": _seconds(applied.received_at, end) for name, end in ends.items() if end}


def _seconds(start: datetime, end: datetime) -> float:
    return round((end - start).total_seconds(), 3)
