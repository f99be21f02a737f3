"""Run imports as Dagster runs in this process, for the command line."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster_postgres.utils import DagsterPostgresException
from sqlalchemy.exc import DatabaseError

from engage_etl.settings import Executor, Settings
from engage_etl.store.imports import Import
from engage_etl.store.outages import is_server_outage, outage
from engage_etl.triggers.instance import open_instance
from engage_etl.triggers.jobs import IMPORT_CONTACTS, import_definitions
from engage_etl.triggers.partitions import IMPORTS
from engage_etl.triggers.resources import Progress, ReportedProgress
from engage_etl.triggers.run_log import SILENT
from engage_etl.triggers.runs import list_runs, process_tags, run_tags

__all__ = ["LOOK_AND_TRY_AGAIN", "list_runs", "run_imports", "storage_errors_as_ours"]

LOOK_AND_TRY_AGAIN = "look at `engage-etl imports list`, and import the file again if it was not applied"
"""What to do after an outage that may have come between a commit and its answer."""


def run_imports(
    settings: Settings,
    entries: list[Import],
    progress: Progress | ReportedProgress,
    *,
    job_name: str = IMPORT_CONTACTS,
    run_config: Mapping[str, Any] | None = None,
) -> list[str]:
    """Run imports one after the other, each as a Dagster run of its own; how each went stands in the register.

    Returns the ids of the runs: other processes may run the same imports meanwhile.

    job_name, run_config: what is run, if it is not the whole import.

    Raises:
        StoreError: the server went away, or has no room for Dagster's own tables.
    """
    # Here and now, whatever the setting says of dropped files.
    own_process = settings.model_copy(update={"executor": Executor.IN_PROCESS})
    job = import_definitions(own_process).resolve_job_def(job_name)
    run_ids: list[str] = []
    with storage_errors_as_ours(settings), open_instance(settings) as instance:
        for entry in entries:
            _end_lost_runs(instance, entry.import_id)
            instance.add_dynamic_partitions(str(IMPORTS.name), [entry.import_id])
            ended = job.execute_in_process(
                instance=instance,
                partition_key=entry.import_id,
                tags=run_tags(entry) | process_tags(),
                resources={"progress": progress},
                raise_on_error=False,
                # What went wrong stands in the register and in the event log.
                run_config={**SILENT, **(run_config or {})},
            )
            run_ids.append(ended.run_id)
    return run_ids


def _end_lost_runs(instance: dg.DagsterInstance, import_id: str) -> None:
    """End the runs that this process began and whose end could not be recorded, as the server was away."""
    for run in list_runs(instance, import_id):
        if not run.is_finished and process_tags().items() <= run.tags.items():
            instance.report_run_failed(run, "The server went away; the import is run again.")


@contextmanager
def storage_errors_as_ours(settings: Settings) -> Iterator[None]:
    """Dagster's storage tries again without us, says so each time, and gives up with an error of its own."""
    root = logging.getLogger()
    root.addFilter(_is_no_retry)
    try:
        yield
    except DagsterPostgresException as error:
        raise outage(error.__cause__ or error, settings, LOOK_AND_TRY_AGAIN) from None
    except DatabaseError as error:
        if not is_server_outage(error):
            raise
        raise outage(error, settings, LOOK_AND_TRY_AGAIN) from None
    finally:
        root.removeFilter(_is_no_retry)


def _is_no_retry(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Retrying failed database")
