"""Where the time of an import went, from what the program itself recorded: its register and Dagster's event log."""

from __future__ import annotations

from itertools import pairwise

import dagster as dg

from engage_etl.settings import Settings
from engage_etl.store.engine import open_store
from engage_etl.store.imports import find_import
from engage_etl.triggers.instance import open_instance
from engage_etl.triggers.runs import list_runs

STEPS = ("process start", "run start", "raw file", "validated rows", "match plan", "apply", "report", "end")
"""The steps of an import, one after the other. run start: Dagster opens the run; end: it closes it, the process ends."""

_ASSETS = ("raw_file", "validated_rows", "match_plan", "applied_updates")


def import_steps(settings: Settings, import_id: str, began: float, ended: float) -> dict[str, float]:
    """Seconds by step, all of them together the time of the process. began, ended: of the process, as time.time()."""
    with open_store(settings) as store, store.engine.connect() as connection:
        entry = find_import(connection, import_id)
    with open_instance(settings) as instance:
        run = list_runs(instance, import_id)[0]
        found = {step.step_key: step for step in instance.get_run_step_stats(run.run_id)}
    starts = [found[asset].start_time or ended for asset in _ASSETS]
    applied = entry.applied_at.timestamp() if entry.applied_at else ended
    times = [began, entry.received_at.timestamp(), *starts, applied, found[_ASSETS[-1]].end_time or ended, ended]
    return {step: after - before for step, (before, after) in zip(STEPS, pairwise(times), strict=True)}


def reported_seconds(settings: Settings, import_id: str) -> dict[str, float]:
    """All figures of seconds that the assets of an import put into their metadata, by asset and name."""
    seconds = {}
    with open_instance(settings) as instance:
        run = list_runs(instance, import_id)[0]
        for record in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
            materialization = record.asset_materialization
            if materialization is None:
                continue
            for name, value in materialization.metadata.items():
                if name.endswith("seconds") and isinstance(value.value, int | float):
                    seconds[f"{materialization.asset_key.to_user_string()}.{name}"] = float(value.value)
    return seconds
