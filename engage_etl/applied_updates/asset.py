"""Asset ``applied_updates``: the plan, carried out in one transaction."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from engage_etl.match_plan.asset import match_plan
from engage_etl.triggers.partitions import IMPORTS
from engage_etl.triggers.resources import Progress, StoreResource
from engage_etl.triggers.stage_assets import GROUP, OWNERS, StageRun, counts_table, run_stage

DESCRIPTION = """
Applies exactly the plan that was made, all of it or nothing, and writes the history of each contact, the report, and
puts the file into `done/`. Applied once, it changes nothing again.

**Red?** Nothing was applied. The message says why: another program held the contacts too long, or the server went
away. Materialize it again for this partition: it goes on from the plan. Or the plan waits for an approval: to materialize
this asset approves nothing. Start the job `apply_plan` for this partition, with your name as `by` and the `plan_hash` of
`match_plan`.
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
            approve_plan(run.store, run.import_id, by=config.by or "", plan_hash=config.plan_hash or "")
        elif _has_made_the_plan(context) and (why := _why_it_waits(run)):
            context.log.warning(why)
            return
        progress.stage("applied_updates", None)
        apply_and_finish(run.store, run.import_id)
        metadata = _metadata(run)
    yield dg.MaterializeResult(metadata=metadata)  # after the stage, which holds the import's lock


def _has_made_the_plan(context: dg.AssetExecutionContext) -> bool:
    """Whether the plan is a stage of this run: by itself, this asset says in red that a plan is not approved."""
    return match_plan.key in context.job_def.asset_layer.executable_asset_keys


def _why_it_waits(run: StageRun) -> str | None:
    """Why the plan that was made just now is not applied, or None if it is."""
    from engage_etl.store.approvals import find_approval
    from engage_etl.store.imports import find_import

    with run.store.engine.connect() as connection:
        entry, approval = find_import(connection, run.import_id), find_approval(connection, run.import_id)
    if entry.is_dry_run:
        return f"{entry.file}: a dry run ends with its plan and its report; nothing is applied."
    if entry.status.waits and approval is None:
        return f"{entry.file}: the plan waits for approval; start the job apply_plan with your name and its plan_hash."
    return None


def _metadata(run: StageRun) -> dict[str, Any]:
    from engage_etl.reports.samples import field_change_counts
    from engage_etl.store.approvals import find_approval
    from engage_etl.store.imports import find_import

    with run.store.engine.connect() as connection:
        applied, approval = find_import(connection, run.import_id), find_approval(connection, run.import_id)
    return {
        "rows": applied.rows,
        **applied.outcome_counts(),
        "left_group": applied.left_group,
        "drifted": applied.drifted,
        "reasons": counts_table(applied.reasons, "reason"),
        "changed_fields": counts_table(field_change_counts(applied), "field"),
        "plan_hash": applied.plan_hash or "",
        "approved_by": approval.approved_by if approval else "nobody, and nobody had to",
        "status": applied.status.value,
        **run.report(),
        **run.duration(applied.rows),
    }
