"""Stage 3 as the other rooms see it: make the plan of an import, or make it again on drift."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Text, cast, func, select

from engage_etl.errors import UsageError
from engage_etl.match_plan.brakes import BrakeVerdict, brake_verdicts, rehearsal_sentence, stop_sentence
from engage_etl.match_plan.hashing import plan_hash
from engage_etl.match_plan.leavers import who_stays_unknown
from engage_etl.match_plan.planning import PlanInput, write_plan
from engage_etl.match_plan.staging import valid_rows_loaded
from engage_etl.match_plan.working_tables import hide_loaded
from engage_etl.store.bulk_work import prepare_bulk_work
from engage_etl.store.engine import Store
from engage_etl.store.groups import require_group
from engage_etl.store.imports import Import, find_import, update_import, void_plan
from engage_etl.store.removals import Kind, demand_kept, take_back_removal
from engage_etl.store.tables import plan_leaver, plan_row
from engage_etl.validated_rows.stage import recorded_summary
from engage_etl.vocabulary.choices import ApprovalNeeded
from engage_etl.vocabulary.outcomes import Outcome, Status


def make_plan(store: Store, import_id: str) -> Import:
    """Work out and keep the plan of an import, in one snapshot of the store; no contact is changed (R29).

    An import that is applied is frozen: what is recorded comes back (R30). An unapplied plan is replaced. Afterwards the
    import is ``planned``, ``stopped`` by a brake (R34), or ``waiting_for_approval`` (R35); a dry run has ended with it.

    Raises:
        FileError: the group does not exist (R22).
        UsageError: the rows of the import are not validated yet.
        Removed: its checked rows were removed since (R42).
    """
    with store.engine.connect() as connection:
        entry = find_import(connection, import_id)
        if entry.status.is_final:
            return entry
        plan = plan_input(store, connection, entry)
    with (
        valid_rows_loaded(store, import_id) as loaded,
        store.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection,
        connection.begin(),
    ):
        void_plan(connection, import_id)
        take_back_removal(connection, import_id, Kind.PLAN)
        hash_ = record_plan(connection, replace(plan, loaded=loaded))
        update_import(
            connection,
            import_id,
            first_plan_hash=hash_,
            stage_hash=plan.summary.sha256,
            planned_at=func.clock_timestamp(),
            **_what_follows(find_import(connection, import_id)),
        )
    with store.engine.connect() as connection:
        return find_import(connection, import_id)


def record_plan(connection: Connection, plan: PlanInput) -> str:
    """Work out the plan in the caller's transaction and enter its rows, counts, hash and snapshot; returns the hash."""
    snapshot = connection.scalar(select(cast(func.pg_current_snapshot(), Text)))
    prepare_bulk_work(connection)
    write_plan(connection, plan)
    counts = plan_counts(connection, plan.import_id)
    hash_ = plan_hash(connection, plan.import_id, plan.summary.sha256, plan.options)
    update_import(
        connection,
        plan.import_id,
        **counts.columns(),
        changed_fields=changed_fields(connection, plan.import_id),
        left_group=_count_leavers(connection, plan.import_id),
        warnings=[*plan.summary.warnings, *_plan_warnings(connection, plan)],
        plan_hash=hash_,
        plan_snapshot=snapshot,
    )
    if plan.loaded is not None:
        hide_loaded(connection)
    return hash_


@dataclass(frozen=True)
class PlanCounts:
    """Rows of a plan by outcome and by reason (R38)."""

    outcomes: dict[str, int]
    reasons: dict[str, int]

    def columns(self) -> dict[str, Any]:
        """The counts as columns of the register."""
        return {outcome.value: self.outcomes.get(outcome, 0) for outcome in Outcome} | {"reasons": self.reasons}


def plan_counts(connection: Connection, import_id: str) -> PlanCounts:
    """Count the rows of a plan."""
    columns = plan_row.c
    query = (
        select(columns.outcome, columns.reason, func.count())
        .where(columns.import_id == import_id)
        .group_by(columns.outcome, columns.reason)
    )
    outcomes: dict[str, int] = {}
    reasons: dict[str, int] = {}
    for outcome, reason, rows in connection.execute(query).tuples():
        outcomes[outcome] = outcomes.get(outcome, 0) + rows
        if reason is not None:
            reasons[reason] = rows
    return PlanCounts(outcomes, reasons)


def changed_fields(connection: Connection, import_id: str) -> dict[str, dict[str, int]]:
    """How many rows of a plan change each field, by outcome."""
    fields = (
        select(plan_row.c.outcome, func.jsonb_object_keys(plan_row.c.changes).label("field"))
        .where(plan_row.c.import_id == import_id, plan_row.c.changes.is_not(None))
        .subquery("fields")
    )
    query = select(fields.c.outcome, fields.c.field, func.count()).group_by(fields.c.outcome, fields.c.field)
    counts: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for outcome, field, rows in connection.execute(query).tuples():
        counts[outcome][field] = rows
    return counts


def _count_leavers(connection: Connection, import_id: str) -> int:
    return connection.scalar(select(func.count()).where(plan_leaver.c.import_id == import_id)) or 0


def _plan_warnings(connection: Connection, plan: PlanInput) -> list[str]:
    unknown = who_stays_unknown(connection) if plan.options.mode_rules.takes_out_others else None
    if unknown is None:
        return []
    return [
        f"{plan.file}: {unknown}, so that nobody was taken out of the group; correct that and import the file again."
    ]


def plan_input(store: Store, connection: Connection, entry: Import) -> PlanInput:
    """Gather what the plan of an import is made from.

    Raises:
        FileError: the group does not exist (R22).
        UsageError: the rows of the import are not validated yet.
    """
    folder = store.import_dir(entry.import_id)
    demand_kept(connection, entry.import_id, Kind.STAGE_FILES)
    summary = recorded_summary(store, entry.import_id)
    if entry.validated_at is None:
        raise UsageError(f"Import {entry.import_id} has no validated rows yet; materialize validated_rows first.")
    if summary is None:
        raise UsageError(
            f"The checked rows of import {entry.import_id} are no longer in {store.kept.shown(folder)}. Put that folder back "
            "from a copy of the data folder, or end the import with `engage-etl imports reject` and import its file again."
        )
    group_id, group_name = require_group(connection, entry.group_name, file=entry.file)
    return PlanInput(
        import_id=entry.import_id,
        file=entry.file,
        folder=folder,
        kept=store.kept,
        summary=summary,
        options=entry.import_options,
        group_id=group_id,
        group_name=group_name,
    )


def _what_follows(planned: Import) -> dict[str, Any]:
    """Whether the plan may be applied now, as columns of the register: decided once, after the plan (R34, R35)."""
    exceeded = [verdict for verdict in brake_verdicts(planned) if verdict.is_exceeded]
    moment = func.clock_timestamp()
    if planned.is_dry_run:
        warnings = [rehearsal_sentence(planned, exceeded)] if exceeded else []
        return {"status": Status.PLANNED, "ended_at": moment, "warnings": [*planned.warnings, *warnings]}
    if exceeded:
        sentence = stop_sentence(planned, exceeded)
        return {
            "status": Status.STOPPED,
            "error_code": exceeded[0].brake,
            "error_message": sentence,
            "ended_at": moment,
        }
    if planned.import_options.approval is not ApprovalNeeded.NONE:
        return {"status": Status.WAITING_FOR_APPROVAL}
    return {"status": Status.PLANNED}


__all__ = [
    "BrakeVerdict",
    "PlanCounts",
    "PlanInput",
    "brake_verdicts",
    "make_plan",
    "plan_counts",
    "plan_input",
    "record_plan",
]
