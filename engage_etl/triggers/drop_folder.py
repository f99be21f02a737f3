"""The sensor ``drop_folder``: it looks and registers, and asks for runs; it imports nothing itself (R40)."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict

from dagster import (
    AddDynamicPartitionsRequest,
    DefaultSensorStatus,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    sensor,
)

from engage_etl.errors import EngageError
from engage_etl.settings import Settings
from engage_etl.store.engine import Store, open_store
from engage_etl.triggers.arrivals import Look, Seen, folders_without_automation, take_arrivals
from engage_etl.triggers.automations import Automation, load_automations
from engage_etl.triggers.jobs import IMPORT_CONTACTS
from engage_etl.triggers.outbox import DueRun, due_runs, settle_ended
from engage_etl.triggers.partitions import IMPORTS
from engage_etl.triggers.run_import import run_tags

_LONGEST_WAIT = 5.0
"""Seconds that a tick waits at the most; Dagster ends it after 60."""

DESCRIPTION = """
Looks into the source folders of the automations. A file that has stopped growing is entered into the register, moved
aside and imported by a run of its own. Files in a drop folder without automation are left alone.
"""


def drop_folder_sensor(settings: Settings) -> SensorDefinition:
    """The sensor, on by default."""

    @sensor(
        name="drop_folder",
        job_name=IMPORT_CONTACTS,
        minimum_interval_seconds=settings.sensor_interval,
        default_status=DefaultSensorStatus.RUNNING,
        description=DESCRIPTION,
    )
    def drop_folder(context: SensorEvaluationContext) -> SensorResult:
        try:
            with open_store(settings) as store:
                return look_once(context, store)
        except EngageError as error:
            return SensorResult(skip_reason=str(error), cursor=context.cursor)

    return drop_folder


def look_once(context: SensorEvaluationContext, store: Store) -> SensorResult:
    """One look: recover, claim what has arrived, ask for the runs that are due."""
    settings = store.settings
    automations, errors = load_automations(settings.automations_file, settings.root)
    for automation in automations:
        automation.source.mkdir(parents=True, exist_ok=True)
    settle_ended(store)
    seen = _take_settled(store, automations, _as_look(context.cursor))
    due = due_runs(store, context.instance)
    reasons = [str(error) for error in errors]
    reasons += [f"{len(seen)} files are still being written"] if seen else []
    alone = folders_without_automation(settings.drop_dir, automations)
    reasons += [f"no automation has the folder drop/{name} as its source; its files are left alone" for name in alone]
    for reason in reasons if due else []:
        context.log.warning(reason)
    return SensorResult(
        run_requests=[
            RunRequest(run_key=run.run_key, partition_key=run.entry.import_id, tags=run_tags(run.entry)) for run in due
        ],
        dynamic_partitions_requests=[_partitions(due)] if due else [],
        skip_reason=None if due else "; ".join(reasons) or "no file has arrived",
        cursor=_as_cursor(seen),
    )


def _take_settled(store: Store, automations: list[Automation], before: Look) -> Look:
    """Take what has stopped growing; files seen for the first time are looked at again before the tick ends.

    Returns:
        What was seen and is still growing.
    """
    _, seen = take_arrivals(store, automations, before)
    if seen and store.settings.settle_time <= _LONGEST_WAIT:
        # The daemon looks every five seconds at best, and most files are whole when they are seen first.
        time.sleep(store.settings.settle_time)
        _, seen = take_arrivals(store, automations, seen)
    return seen


def _partitions(due: list[DueRun]) -> AddDynamicPartitionsRequest:
    return IMPORTS.build_add_request([run.entry.import_id for run in due])


def _as_cursor(seen: Mapping[str, Seen]) -> str:
    return json.dumps({path: asdict(state) for path, state in seen.items()})


def _as_look(cursor: str | None) -> Look:
    return {path: Seen(**state) for path, state in json.loads(cursor or "{}").items()}
