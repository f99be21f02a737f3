"""The job ``revert_import``: takes back what an import did (R36), from the web page or for the command line."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetMaterialization,
    Config,
    Definitions,
    Failure,
    OpExecutionContext,
    ResourceParam,
    in_process_executor,
    job,
    op,
)
from pydantic import Field

from engage_etl.errors import EngageError
from engage_etl.settings import Settings, load_settings
from engage_etl.triggers.partitions import IMPORTS
from engage_etl.triggers.resources import StoreResource
from engage_etl.triggers.run_log import SILENT
from engage_etl.triggers.run_queue import started_by
from engage_etl.triggers.stage_assets import table

if TYPE_CHECKING:
    from dagster._core.execution.plan.objects import StepFailureData

    from engage_etl.store.engine import Store
    from engage_etl.store.imports import Import

REVERT_IMPORT = "revert_import"
REVERTS = "reverts"
"""Tag of the runs that revert imports: which one."""

INTERRUPTED = "DagsterExecutionInterruptedError"
"""What Dagster calls Ctrl-C."""

_APPLIED_UPDATES = "applied_updates"
_AGAIN = "revert the import again"


@dataclass(frozen=True)
class Broken:
    """What ended a run. sentence: ours, None: nobody foresaw it; details: of the error."""

    sentence: str | None
    details: str


class RevertConfig(Config):
    """What to revert."""

    import_id: str = Field(description="Id of the import, as `engage-etl imports list` names it.")
    by: str | None = Field(default=None, description="Who wants it; stands in the register with the revert.")


@op(description="Takes back what an applied import did, all of it or nothing; what others changed since stays (R36).")
def take_back(context: OpExecutionContext, config: RevertConfig, store: ResourceParam[StoreResource]) -> None:
    """Revert an import; the counts are metadata of this step, and of the import's partition of ``applied_updates``."""
    from engage_etl.stage_run import revert_and_finish
    from engage_etl.store.imports import load_import
    from engage_etl.store.outages import OUTAGES, is_server_outage, outage
    from engage_etl.triggers.runs import run_tags

    started = time.monotonic()
    # The web page starts it without tags.
    context.instance.add_run_tags(context.run_id, {REVERTS: config.import_id})
    try:
        opened = store.open()
        entry = load_import(opened.engine, config.import_id)
        context.instance.add_run_tags(context.run_id, run_tags(entry))
        revert = revert_and_finish(opened, config.import_id, started_by(context.run.tags, config.by))
        metadata = _metadata(opened, revert) | {"duration_seconds": round(time.monotonic() - started, 3)}
    except EngageError as error:
        raise Failure(description=str(error), allow_retries=False) from None
    except OUTAGES as error:
        ended = outage(error, load_settings(), _AGAIN)
        raise Failure(description=str(ended), allow_retries=is_server_outage(error)) from None
    context.add_output_metadata(metadata)
    if context.instance.has_dynamic_partition(str(IMPORTS.name), config.import_id):
        context.log_event(
            AssetMaterialization(
                _APPLIED_UPDATES, partition=config.import_id, metadata=metadata, description="Reverted."
            )
        )


@job(
    name=REVERT_IMPORT,
    description="Takes back what an import did (R36); a revert can be reverted too.",
    executor_def=in_process_executor,
)
def revert_import() -> None:
    """One step."""
    take_back()


def revert_definitions() -> Definitions:
    """The job; the store comes with the imports."""
    return Definitions(jobs=[revert_import])


def run_revert(settings: Settings, entry: "Import", by: str | None) -> Broken | None:
    """Run the job in this process, for the command line; returns what ended it, None if nothing did.

    Raises:
        StoreError: the server went away, or has no room for Dagster's own tables.
    """
    from engage_etl.triggers.instance import open_instance
    from engage_etl.triggers.run_import import storage_errors_as_ours
    from engage_etl.triggers.runs import process_tags, run_tags

    run_config = {
        "ops": {take_back.name: {"config": {"import_id": entry.import_id, "by": by}}},
        **SILENT,
    }
    tags = run_tags(entry) | {REVERTS: entry.import_id}
    with storage_errors_as_ours(settings), open_instance(settings) as instance:
        result = revert_import.execute_in_process(
            instance=instance,
            run_config=run_config,
            tags=tags | process_tags(),
            resources={"store": StoreResource()},
            raise_on_error=False,
        )
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    return _broken(failures[0]) if failures else None


def _broken(failure: "StepFailureData") -> Broken:
    data = failure.user_failure_data
    details = failure.error.to_string() if failure.error is not None else ""
    if INTERRUPTED in details:
        return Broken("The revert was interrupted; nothing is half done. Run it again.", details)
    return Broken(data.description if data is not None else None, details)


def _metadata(store: "Store", revert: "Import") -> dict[str, Any]:
    return {
        "import_id": revert.reverts or "",
        "revert_id": revert.import_id,
        "restored": revert.restored,
        "kept": revert.kept,
        "failed": revert.failed,
        "by": revert.reverted_by or "",
        "not_restored": table(_sample(store, revert)),
    }


def _sample(store: "Store", revert: "Import") -> list[dict[str, Any]]:
    """The first changes that were not taken back; their sentences have no values (R41)."""
    from itertools import islice

    from engage_etl.applied_updates.revert import revert_details

    shown = ("row", "contact_id", "field", "result", "message")
    with store.engine.connect() as connection:
        first = islice(revert_details(connection, revert.import_id), store.settings.sample_rows)
        return [{name: detail[name] for name in shown} for detail in first]
