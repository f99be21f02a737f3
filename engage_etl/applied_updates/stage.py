"""Stage 4 as the other rooms see it: apply the plan of an import, all of it or nothing (R30)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from sqlalchemy import Connection, func

from engage_etl.applied_updates.drift import plan_again_on_drift
from engage_etl.applied_updates.exclusive import exclusively
from engage_etl.applied_updates.writing import write_updates
from engage_etl.errors import BrakeStopped, UsageError
from engage_etl.match_plan.stage import plan_input
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, find_import, update_import
from engage_etl.store.removals import Kind, demand_kept
from engage_etl.vocabulary.outcomes import Status


def apply_updates(store: Store, import_id: str) -> Import:
    """Apply the plan of an import in one transaction; applied once, it changes nothing again (R30).

    Raises:
        BrakeStopped: the plan was stopped by a brake, or is now that it was made again (R34).
        UsageError: the import has no plan.
        Removed: its plan was removed since (R42).
        StoreUnavailable: other writers held the contacts longer than the settings allow.
    """
    with store.engine.connect() as connection:
        entry = find_import(connection, import_id)
        if entry.status.is_final:
            return entry
        demand_kept(connection, import_id, Kind.PLAN)
    if entry.status is Status.STOPPED:
        raise BrakeStopped(entry.error_message or "", brake=entry.error_code or "", share=0, rows=entry.rejected)
    if entry.status is not Status.PLANNED:
        raise UsageError(f"Import {import_id} is {entry.status.value} and has no plan; materialize match_plan first.")
    exclusively(store, partial(_apply, store, entry), file=entry.file)
    with store.engine.connect() as connection:
        return find_import(connection, import_id)


def _apply(store: Store, entry: Import, connection: Connection, is_overtaken: bool) -> None:
    if find_import(connection, entry.import_id).status is not Status.PLANNED:
        return  # Somebody else was faster while this waited for its locks.
    if is_overtaken:
        entry = replace(entry, plan_snapshot=None)
    plan = plan_input(store, connection, entry)
    plan_again_on_drift(connection, plan, entry)
    write_updates(connection, plan, find_import(connection, entry.import_id).changed_fields)
    moment = func.clock_timestamp()
    update_import(connection, entry.import_id, status=Status.APPLIED, applied_at=moment, ended_at=moment)
