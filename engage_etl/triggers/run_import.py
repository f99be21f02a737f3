"""Run imports as Dagster runs in this process, for the command line."""

from __future__ import annotations

from engage_etl.settings import Settings
from engage_etl.store.imports import Import
from engage_etl.triggers.instance import open_instance
from engage_etl.triggers.jobs import IMPORT_CONTACTS, import_definitions
from engage_etl.triggers.partitions import IMPORTS
from engage_etl.triggers.resources import Progress, ReportedProgress
from engage_etl.triggers.runs import list_runs, process_tags, run_tags

__all__ = ["list_runs", "run_imports"]


def run_imports(settings: Settings, entries: list[Import], progress: Progress | ReportedProgress) -> None:
    """Run imports one after the other, each as a Dagster run of its own; how each went stands in the register."""
    job = import_definitions().resolve_job_def(IMPORT_CONTACTS)
    with open_instance(settings) as instance:
        for entry in entries:
            instance.add_dynamic_partitions(str(IMPORTS.name), [entry.import_id])
            job.execute_in_process(
                instance=instance,
                partition_key=entry.import_id,
                tags=run_tags(entry) | process_tags(),
                resources={"progress": progress},
                raise_on_error=False,
                # What went wrong stands in the register and in the event log; the terminal shows our sentence.
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
