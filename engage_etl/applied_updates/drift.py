"""Drift: the store was written since the plan was made (R30, R31)."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import BigInteger, Column, Connection, MetaData, Table, Text, cast, delete, func, insert, or_, select
from sqlalchemy.dialects.postgresql import JSONB

from engage_etl.match_plan.stage import PlanInput, record_plan
from engage_etl.store.imports import Import, delete_plan, update_import
from engage_etl.store.tables import plan_row, store_write
from engage_etl.store.types import PgSnapshot

WRITES_KEPT = timedelta(days=30)
"""How long it is remembered who wrote contacts; an older plan is made again before it is applied."""

_earlier_plan = Table(
    "earlier_plan",
    MetaData(),
    Column("row", BigInteger),
    Column("outcome", Text),
    Column("reason", Text),
    Column("contact_id", BigInteger),
    Column("changes", JSONB),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)
"""The plan as it was before it is made again."""


def plan_again_on_drift(connection: Connection, plan: PlanInput, entry: Import) -> None:
    """Make the plan again over all rows if contacts or memberships were written since it was made.

    R11 is global, so that one foreign write may change what becomes of any row. How many rows come out otherwise is
    counted in the register as ``drifted``. The caller keeps other writers out, so that the new plan holds.
    """
    is_current = not _is_written_since(connection, entry)
    _forget_old_writes(connection)
    if is_current:
        return
    _keep_earlier_plan(connection, plan.import_id)
    delete_plan(connection, plan.import_id)
    record_plan(connection, plan)
    update_import(connection, plan.import_id, drifted=_count_differences(connection, plan.import_id))


def _is_written_since(connection: Connection, entry: Import) -> bool:
    """Whether a transaction wrote contacts or memberships that the snapshot of the plan did not see.

    Of a plan that is older than what is remembered nobody knows: it counts as overtaken.
    """
    if entry.plan_snapshot is None or entry.planned_at is None or entry.planned_at < _now(connection) - WRITES_KEPT:
        return True
    is_seen = func.pg_visible_in_snapshot(store_write.c.xid, cast(entry.plan_snapshot, PgSnapshot()))
    return bool(connection.scalar(select(select(store_write).where(~is_seen).exists())))


def _forget_old_writes(connection: Connection) -> None:
    # A day more than plans are trusted, so that a long transaction of a plan at the limit is still remembered.
    oldest = func.now() - (WRITES_KEPT + timedelta(days=1))
    connection.execute(delete(store_write).where(store_write.c.written_at < oldest))


def _now(connection: Connection) -> datetime:
    return connection.execute(select(func.now())).scalar_one()


def _keep_earlier_plan(connection: Connection, import_id: str) -> None:
    _earlier_plan.create(connection, checkfirst=False)
    names = [column.name for column in _earlier_plan.columns]
    rows = select(*(plan_row.c[name] for name in names)).where(plan_row.c.import_id == import_id)
    connection.execute(insert(_earlier_plan).from_select(names, rows))


def _count_differences(connection: Connection, import_id: str) -> int:
    before, after = _earlier_plan.c, plan_row.c
    differs = or_(
        *(before[name].is_distinct_from(after[name]) for name in ("outcome", "reason", "contact_id", "changes"))
    )
    query = (
        select(func.count())
        .join_from(_earlier_plan, plan_row, before.row == after.row)
        .where(after.import_id == import_id, differs)
    )
    return connection.scalar(query) or 0
