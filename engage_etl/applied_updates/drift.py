"""Drift: the store was written since the plan was made (R30, R31)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    MetaData,
    Select,
    Table,
    Text,
    cast,
    delete,
    func,
    insert,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB

from engage_etl.errors import PlanDrifted
from engage_etl.match_plan.stage import PlanInput, record_plan
from engage_etl.store.approvals import void_approvals
from engage_etl.store.imports import Import, delete_plan, update_import
from engage_etl.store.tables import plan_row, store_write
from engage_etl.store.types import PgSnapshot

WRITES_KEPT = timedelta(days=30)
"""How long it is remembered who wrote contacts; an older plan is made again before it is applied."""

DRIFTED = "plan_drifted"
_ROWS_NAMED = 10

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

    Raises:
        PlanDrifted: a person has approved the plan, and it comes out otherwise (R31). The caller takes all of it back.
    """
    is_current = not _is_written_since(connection, entry)
    _forget_old_writes(connection)
    if is_current:
        return
    _keep_earlier_plan(connection, plan.import_id)
    delete_plan(connection, plan.import_id)
    hash_ = record_plan(connection, plan)
    rows = _count_differences(connection, plan.import_id)
    if entry.status.waits and hash_ != entry.plan_hash:
        raise PlanDrifted(_sentence(entry, rows, _first_differences(connection, plan.import_id)), rows=rows)
    update_import(connection, plan.import_id, drifted=rows)


def keep_drift(connection: Connection, entry: Import, drifted: PlanDrifted) -> None:
    """Note that an approved plan was refused: the import waits as before, and its approval holds no more (R31)."""
    void_approvals(connection, entry.import_id, DRIFTED)
    update_import(connection, entry.import_id, drifted=drifted.rows, error_code=DRIFTED, error_message=str(drifted))


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
    return connection.scalar(_differences(import_id, func.count())) or 0


def _first_differences(connection: Connection, import_id: str) -> list[str]:
    """The first rows that come out otherwise, in words, each with the contact that it is about now."""
    contact_id = func.coalesce(plan_row.c.contact_id, _earlier_plan.c.contact_id)
    query = _differences(import_id, plan_row.c.row, contact_id).order_by(plan_row.c.row).limit(_ROWS_NAMED)
    return [
        f"row {row}" + (f" (contact {contact})" if contact is not None else "")
        for row, contact in connection.execute(query)
    ]


def _differences(import_id: str, *columns: ColumnElement[Any]) -> Select[Any]:
    """Rows whose plan differs from the earlier one."""
    before, after = _earlier_plan.c, plan_row.c
    differs = or_(
        *(before[name].is_distinct_from(after[name]) for name in ("outcome", "reason", "contact_id", "changes"))
    )
    joined = select(*columns).join_from(_earlier_plan, plan_row, before.row == after.row)
    return joined.where(after.import_id == import_id, differs)


def _sentence(entry: Import, rows: int, named: list[str]) -> str:
    if rows:
        more = f" and {rows - len(named):,} more" if rows > len(named) else ""
        what = f"{rows:,} of its rows would come out otherwise now: {', '.join(named)}{more}"
    else:
        what = "other members than planned would leave the group now"
    return (
        f"{entry.file}: contacts or memberships were changed since the approved plan was made, and {what}. Nothing was "
        f"applied. Plan it again with `engage-etl imports plan {entry.import_id}`, or materialize match_plan of this import "
        "in the web page; then look at the new plan and approve that."
    )
