"""The jobs that run imports; loaded by themselves for the command line, which needs no more of Dagster."""

from __future__ import annotations

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from engage_etl.applied_updates.asset import applied_updates
from engage_etl.match_plan.asset import match_plan
from engage_etl.raw_file.asset import raw_file
from engage_etl.settings import Executor, Settings, load_settings
from engage_etl.triggers.approving import APPLY_PLAN, approving
from engage_etl.triggers.executors import import_executor
from engage_etl.triggers.partitions import IMPORTS
from engage_etl.triggers.resources import Progress, StoreResource
from engage_etl.triggers.run_log import console
from engage_etl.validated_rows.asset import validated_rows

STAGES = [raw_file, validated_rows, match_plan, applied_updates]
IMPORT_CONTACTS = "import_contacts"
PLAN_IMPORT = "plan_import"


def import_definitions(settings: Settings | None = None) -> dg.Definitions:
    """The four stages and the jobs that run them, where the setting ``executor`` says.

    settings: of the installation; None: those that the environment names.
    """
    settings = settings or load_settings()
    executor, stages = import_executor(settings), STAGES
    if settings.executor is Executor.MULTIPROCESS:
        from engage_etl.triggers.ranged_rows import validated_rows_in_ranges

        stages = [validated_rows_in_ranges if stage is validated_rows else stage for stage in STAGES]
    return dg.Definitions(
        assets=stages,
        jobs=[_job(IMPORT_CONTACTS, stages, executor), _job(PLAN_IMPORT, stages[:-1], executor), _apply_plan(executor)],
        resources={"store": StoreResource(), "progress": Progress()},
        loggers={"console": console},
        # Of all else, as the dbt models: it runs where it is launched, and takes no worker from imports.
        executor=dg.in_process_executor,
    )


def _job(name: str, stages: list[dg.AssetsDefinition], executor: dg.ExecutorDefinition) -> UnresolvedAssetJobDefinition:
    last = stages[-1].key.to_user_string()
    return dg.define_asset_job(
        name,
        selection=dg.AssetSelection.assets(*stages),
        partitions_def=IMPORTS,
        description=f"From the raw file to {last}, for one import.",
        executor_def=executor,
    )


def _apply_plan(executor: dg.ExecutorDefinition) -> UnresolvedAssetJobDefinition:
    return dg.define_asset_job(
        APPLY_PLAN,
        selection=dg.AssetSelection.assets(applied_updates),
        # What the launchpad shows to be filled in once a partition is chosen; left blank, nothing is approved.
        config=approving("", ""),
        partitions_def=IMPORTS,
        description="Approves the plan of one import, which waits or was stopped by a brake, and applies it. "
        "by: your name; plan_hash: of the plan that you have looked at, from the metadata of match_plan, where the link "
        "approve has filled it in.",
        executor_def=executor,
    )
