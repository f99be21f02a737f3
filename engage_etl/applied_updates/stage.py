"""Stage 4 as the other rooms see it: apply the plan of an import, all of it or nothing (R30)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from sqlalchemy import Connection, func

from engage_etl.applied_updates.approval import approve_plan, demand_approvable, demand_approval, reject_plan
from engage_etl.applied_updates.drift import keep_drift, plan_again_on_drift
from engage_etl.applied_updates.exclusive import exclusively
from engage_etl.applied_updates.writing import write_updates
from engage_etl.errors import PlanDrifted, UsageError
from engage_etl.match_plan.stage import plan_input
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, find_import, update_import
from engage_etl.store.removals import Kind, demand_kept
from engage_etl.vocabulary.outcomes import Status


def apply_updates(store: Store, import_id: str) -> Import:
    """Apply the plan of an import in one transaction; applied once, it changes nothing again (R30).

    Raises:
        BrakeStopped, ApprovalMissing: the plan waits for a person and is not approved (R34, R35).
        PlanDrifted: it is approved, and would not come out as approved any more (R31).
        UsageError: the import has no plan, or is a dry run.
        Removed: its plan was removed since (R42).
        StoreUnavailable: other writers held the contacts longer than the settings allow.
    """
    with store.engine.connect() as connection:
        entry = find_import(connection, import_id)
        if entry.status.is_final:
            return entry
        demand_kept(connection, import_id, Kind.PLAN)
        _demand_applicable(connection, entry)
    try:
        exclusively(store, partial(_apply, store, entry), file=entry.file)
    except PlanDrifted as drifted:
        with store.engine.begin() as connection:
            keep_drift(connection, entry, drifted)
        raise
    with store.engine.connect() as connection:
        return find_import(connection, import_id)


def _demand_applicable(connection: Connection, entry: Import) -> None:
    if entry.is_dry_run:
        raise UsageError(
            f"Import {entry.import_id} is a dry run, which is never applied; import the file again without dry-run."
        )
    if entry.status is not Status.PLANNED and not entry.status.waits:
        raise UsageError(
            f"Import {entry.import_id} is {entry.status.value} and has no plan; materialize match_plan first."
        )
    demand_approval(connection, entry)


def _apply(store: Store, entry: Import, connection: Connection, is_overtaken: bool) -> None:
    if find_import(connection, entry.import_id).status is not entry.status:
        return  # Somebody else was faster while this waited for its locks.
    demand_approval(connection, entry)  # it may have been taken back meanwhile
    if is_overtaken:
        entry = replace(entry, plan_snapshot=None)
    plan = plan_input(store, connection, entry)
    plan_again_on_drift(connection, plan, entry)
    write_updates(connection, plan, find_import(connection, entry.import_id).changed_fields)
    moment = func.clock_timestamp()
    update_import(
        connection,
        entry.import_id,
        status=Status.APPLIED,
        applied_at=moment,
        ended_at=moment,
        error_code=None,
        error_message=None,
        report=None,  # one that was written for those who approve says that the import waits
    )


__all__ = ["apply_updates", "approve_plan", "demand_approvable", "reject_plan"]
