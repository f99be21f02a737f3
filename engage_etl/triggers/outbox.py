"""Registered imports that wait for a run: the register is the outbox of the sensor (R40)."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg

from engage_etl.errors import ImportEnded
from engage_etl.stage_run import finish_import
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, is_alive, list_imports, mark_failed, update_import
from engage_etl.triggers.run_import import list_runs
from engage_etl.vocabulary.outcomes import Status

_UNFINISHED = (Status.RECEIVED, Status.VALIDATED, Status.PLANNED)
_ENDED = (Status.APPLIED, Status.FAILED, Status.STOPPED)


@dataclass(frozen=True)
class DueRun:
    """A run to ask for. attempt: 1 for the first; with the import's id it makes the run key, which launches once."""

    entry: Import
    attempt: int

    @property
    def run_key(self) -> str:
        """The key by which Dagster launches a run at most once."""
        return f"{self.entry.import_id}/{self.attempt}"


def due_runs(store: Store, instance: dg.DagsterInstance) -> list[DueRun]:
    """Runs to ask for: claimed imports that have not ended and that no live run works on, oldest arrival first.

    An import whose runs died as often as the settings allow ends as failed.
    """
    with store.engine.connect() as connection:
        waiting = list_imports(connection, statuses=_UNFINISHED, is_claimed=True)
        waiting = [entry for entry in waiting if entry.automation and not is_alive(connection, entry.import_id)]
    found = [_due_run(store, instance, entry) for entry in sorted(waiting, key=_arrival)]
    return [due for due in found if due is not None]


def settle_ended(store: Store) -> None:
    """Write the report and put away the file of dropped imports that ended just before their process was killed."""
    with store.engine.connect() as connection:
        ended = list_imports(connection, statuses=_ENDED, is_claimed=True, is_settled=False)
        ended = [entry for entry in ended if entry.automation and not is_alive(connection, entry.import_id)]
    for entry in ended:
        finish_import(store, entry.import_id)


def _arrival(entry: Import) -> tuple[object, str]:
    return entry.modified_at or entry.received_at, entry.file


def _due_run(store: Store, instance: dg.DagsterInstance, entry: Import) -> DueRun | None:
    """The run that an import waits for, or None while one is alive or when too many have died."""
    runs = list_runs(instance, entry.import_id)
    if any(not run.is_finished for run in runs):
        return None
    attempt = len(runs) + 1
    if attempt > store.settings.run_attempts:
        _give_up(store, entry, len(runs))
        return None
    if attempt != entry.attempts:
        with store.engine.begin() as connection:
            update_import(connection, entry.import_id, attempts=attempt)
    return DueRun(entry, attempt)


def _give_up(store: Store, entry: Import, attempts: int) -> None:
    gave_up = ImportEnded(
        f"{entry.file}: {attempts} runs of this import ended before it was applied, and nothing was applied. "
        "Look at these runs in the web page, then drop the file again."
    )
    with store.engine.begin() as connection:
        mark_failed(connection, entry.import_id, gave_up)
    finish_import(store, entry.import_id)
