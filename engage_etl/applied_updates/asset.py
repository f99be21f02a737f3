"""Asset ``applied_updates``: the plan, carried out in one transaction."""

import dagster as dg

from engage_etl.match_plan.asset import match_plan
from engage_etl.triggers.partitions import IMPORTS
from engage_etl.triggers.resources import Progress, StoreResource
from engage_etl.triggers.stage_assets import GROUP, OWNERS, counts_table, run_stage

DESCRIPTION = """
Applies exactly the plan that was made, all of it or nothing, and writes the history of each contact, the report, and
puts the file into `done/`. Applied once, it changes nothing again.

**Red?** Nothing was applied. The message says why: another program held the contacts too long, or the server went
away. Materialize it again for this partition: it goes on from the plan.
"""


@dg.asset(
    deps=[match_plan],
    partitions_def=IMPORTS,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres", "sql"},
    description=DESCRIPTION,
)
def applied_updates(
    context: dg.AssetExecutionContext, store: StoreResource, progress: Progress
) -> dg.MaterializeResult:
    """Stage 4: apply."""
    from engage_etl.reports.samples import field_change_counts
    from engage_etl.stage_run import apply_and_finish
    from engage_etl.store.imports import find_import

    with run_stage(context, store) as run:
        progress.stage("applied_updates", None)
        apply_and_finish(run.store, run.import_id)
        with run.store.engine.connect() as connection:
            applied = find_import(connection, run.import_id)
        return dg.MaterializeResult(
            metadata={
                "rows": applied.rows,
                **applied.outcome_counts(),
                "left_group": applied.left_group,
                "drifted": applied.drifted,
                "reasons": counts_table(applied.reasons, "reason"),
                "changed_fields": counts_table(field_change_counts(applied), "field"),
                "plan_hash": applied.plan_hash or "",
                "status": applied.status.value,
                **run.report(),
                **run.duration(applied.rows),
            }
        )
