"""The jobs that run imports; loaded by themselves for the command line, which needs no more of Dagster."""

from __future__ import annotations

from typing import Any

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from engage_etl.applied_updates.asset import applied_updates
from engage_etl.match_plan.asset import match_plan
from engage_etl.raw_file.asset import raw_file
from engage_etl.triggers.partitions import IMPORTS
from engage_etl.triggers.resources import Progress, StoreResource
from engage_etl.validated_rows.asset import validated_rows

STAGES = [raw_file, validated_rows, match_plan, applied_updates]
IMPORT_CONTACTS = "import_contacts"
PLAN_IMPORT = "plan_import"
APPLY_PLAN = "apply_plan"


def import_definitions() -> dg.Definitions:
    """The four stages and the jobs that run them, in one process each."""
    return dg.Definitions(
        assets=STAGES,
        jobs=[_job(IMPORT_CONTACTS, STAGES), _job(PLAN_IMPORT, STAGES[:-1]), _apply_plan()],
        resources={"store": StoreResource(), "progress": Progress()},
        executor=dg.in_process_executor,
    )


def _job(name: str, stages: list[dg.AssetsDefinition]) -> UnresolvedAssetJobDefinition:
    last = stages[-1].key.to_user_string()
    return dg.define_asset_job(
        name,
        selection=dg.AssetSelection.assets(*stages),
        partitions_def=IMPORTS,
        description=f"From the raw file to {last}, for one import.",
        executor_def=dg.in_process_executor,
    )


def approving(by: str, plan_hash: str) -> dict[str, Any]:
    """The run configuration of the job ``apply_plan``: who approves which plan (R35)."""
    return {"ops": {applied_updates.key.to_user_string(): {"config": {"by": by, "plan_hash": plan_hash}}}}


def _apply_plan() -> UnresolvedAssetJobDefinition:
    return dg.define_asset_job(
        APPLY_PLAN,
        selection=dg.AssetSelection.assets(applied_updates),
        # The launchpad shows both to be filled in; left blank, nothing is approved.
        config=approving("", ""),
        partitions_def=IMPORTS,
        description="Approves the plan of one import, which waits or was stopped by a brake, and applies it. "
        "by: your name; plan_hash: of the plan that you have looked at, from the metadata of match_plan.",
        executor_def=dg.in_process_executor,
    )
