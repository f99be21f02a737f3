"""The job ``retention``, every night after the housekeeping, and the runs of old imports that go with them (R42)."""

import json
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, AssetKeyTable, SqlEventLogStorageTable
from sqlalchemy import func, or_, select

from engage_etl.settings import Settings
from engage_etl.triggers.instance import open_instance
from engage_etl.triggers.partitions import IMPORTS
from engage_etl.triggers.resources import StoreResource
from engage_etl.triggers.runs import PARTITION, runs_by_import

if TYPE_CHECKING:
    from engage_etl.erasure.erasing import Forgotten
    from engage_etl.retention.retention import KindResult

RETENTION = "retention"
_EVERY_NIGHT = "0 4 * * *"
_AT_A_TIME = 200
"""Imports whose runs are asked for at once."""


class DagsterRuns:
    """The runs of imports in an instance, with their events and partitions."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance

    def counts(self, import_ids: Collection[str]) -> dict[str, int]:
        """How many runs each of some imports has, 0 included; those with a run that has not ended are left out."""
        found: dict[str, int] = {}
        for some in _blocks(import_ids):
            runs = runs_by_import(self._instance, some)
            ended = (one for one in some if all(run.is_finished for run in runs.get(one, [])))
            found |= {one: len(runs.get(one, [])) for one in ended}
        return found

    def remove(self, import_id: str) -> None:
        """Remove the runs of an import with their events, and its partition; can be repeated.

        Dagster itself leaves the results of asset checks behind when a run is deleted.
        """
        for run in runs_by_import(self._instance, [import_id]).get(import_id, []):
            self.remove_run(run.run_id)
        self._instance.delete_dynamic_partition(str(IMPORTS.name), import_id)

    def remove_others(self, before: datetime, *, dry_run: bool) -> int:
        """Remove runs of no import, as of the housekeeping, that were created before; returns how many there were."""
        old = dg.RunsFilter(statuses=FINISHED_STATUSES, created_before=before)
        found = [run.run_id for run in self._instance.get_runs(filters=old) if PARTITION not in run.tags]
        for run_id in [] if dry_run else found:
            self.remove_run(run_id)
        return len(found)

    def remove_run(self, run_id: str) -> None:
        """Remove a run, its events and the results of its checks."""
        checks = AssetCheckExecutionsTable
        with self._connection() as connection:
            connection.execute(checks.delete().where(checks.c.run_id == run_id))
        # Events first: what a killed process leaves behind is still found by its run.
        self._instance.event_log_storage.delete_events(run_id)
        self._instance.delete_run(run_id)

    def remove_naming(self, import_ids: Collection[str], texts: Collection[str], *, dry_run: bool) -> int:
        """Remove the runs of these imports whose events hold one of the texts; returns how many there were.

        What runs show is masked, but not identifiers, nor anything where a setting shows it (R41).
        """
        from engage_etl.erasure.person import any_of

        naming = any_of(json.dumps(text)[1:-1] for text in texts)
        if naming is None:
            return 0
        found: list[str] = []
        for some in _blocks(import_ids):
            runs = [run.run_id for runs in runs_by_import(self._instance, some).values() for run in runs]
            found += [run_id for run_id in runs if any(naming.search(event) for event in self._events(run_id))]
        if not dry_run:
            for run_id in found:
                self.remove_run(run_id)
            self._remove_latest(found)
        return len(found)

    def _events(self, run_id: str) -> list[str]:
        events = SqlEventLogStorageTable
        with self._connection() as connection:
            return list(connection.scalars(select(events.c.event).where(events.c.run_id == run_id)))

    def _remove_latest(self, run_ids: Collection[str]) -> None:
        """Dagster keeps a copy of the latest materialization of each asset, also when its run is deleted."""
        assets = AssetKeyTable
        for some in _blocks(run_ids):
            is_theirs = or_(*(func.strpos(assets.c.last_materialization, run_id) > 0 for run_id in some))
            with self._connection() as connection:
                connection.execute(assets.update().where(is_theirs).values(last_materialization=None))

    def _connection(self) -> Any:
        storage: Any = self._instance.event_log_storage
        return storage.index_connection()


def retention_by_hand(settings: Settings, *, dry_run: bool) -> "list[KindResult]":
    """What the job does, for the command line."""
    from engage_etl.retention.retention import run_retention
    from engage_etl.store.engine import open_store

    with open_store(settings) as store, open_instance(settings) as instance:
        return run_retention(store, DagsterRuns(instance), dry_run=dry_run)


def forget_by_hand(settings: Settings, contact_id: int, *, by: str, end_imports: bool, dry_run: bool) -> "Forgotten":
    """Erase a contact, also from the runs of its imports."""
    from engage_etl.erasure.erasing import forget
    from engage_etl.store.engine import open_store

    with open_store(settings) as store, open_instance(settings) as instance:
        return forget(store, DagsterRuns(instance), contact_id, by=by, end_imports=end_imports, dry_run=dry_run)


@dg.op(description="Removes what is older than the settings allow: files, plans, reports, runs of old imports.")
def remove_what_is_old(context: dg.OpExecutionContext, store: dg.ResourceParam[StoreResource]) -> None:
    """Remove what is due, and say how much that was; what has to wait is a warning, no failure."""
    from engage_etl.retention.retention import run_retention

    with store.open() as opened:
        results = run_retention(opened, DagsterRuns(context.instance))
    for result in results:
        context.log.info("%s: %s", result.kind, result.as_object())
        for sentence in result.left:
            context.log.warning(sentence)
    context.add_output_metadata({result.kind: dg.MetadataValue.json(result.as_object()) for result in results})


@dg.job(
    name=RETENTION,
    description="Removes what is older than the settings allow; imports do not wait for it (R42).",
    executor_def=dg.in_process_executor,
)
def retention() -> None:
    """One step: the kinds one after the other."""
    remove_what_is_old()


def retention_definitions() -> dg.Definitions:
    """The job and its schedule, which is on by default; the store comes with the imports."""
    every_night = dg.ScheduleDefinition(
        name=RETENTION,
        job=retention,
        cron_schedule=_EVERY_NIGHT,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Removes every night what is older than the settings allow.",
    )
    return dg.Definitions(jobs=[retention], schedules=[every_night])


def _blocks(import_ids: Collection[str]) -> Iterator[Sequence[str]]:
    remaining = iter(import_ids)
    while some := list(islice(remaining, _AT_A_TIME)):
        yield some
