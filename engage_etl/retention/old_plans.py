"""Plans of old imports: months are dropped, rows deleted where a month holds younger plans (decisions 0009, 0017)."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Collection
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Date,
    Select,
    String,
    cast,
    column,
    delete,
    exists,
    func,
    literal,
    select,
    table,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, OID, REGCLASS
from sqlalchemy.exc import OperationalError

from engage_etl.store.catalogue import relations
from engage_etl.store.engine import Store
from engage_etl.store.outages import LOCK_NOT_AVAILABLE, sqlstate
from engage_etl.store.tables import SCHEMA, plan_attribute, plan_leaver, plan_row

PLAN_TABLES = (plan_row, plan_leaver, plan_attribute)

ROWS_AT_A_TIME = 20_000
_LOCK_TIMEOUT = "200ms"
_TRIES = 10
_BETWEEN_TRIES = 0.5
"""Seconds. While a lock is asked for, plans and applies that begin wait behind the request, and no longer than its timeout."""

_MONTH = re.compile(r"plan_row_(\d{4})_(\d{2})")
_children = table("pg_inherits", column("inhrelid", OID), column("inhparent", OID), schema="pg_catalog")


def plan_sizes(connection: Connection, import_ids: Collection[str]) -> dict[str, int]:
    """How many rows the plan tables hold of each of some imports; those with none are left out."""
    counts: Counter[str] = Counter()
    for plan in PLAN_TABLES:
        ids = literal(list(import_ids), ARRAY(String))
        query = select(plan.c.import_id, func.count()).where(plan.c.import_id == func.any(ids))
        counts.update(dict(connection.execute(query.group_by(plan.c.import_id)).tuples().all()))
    return dict(counts)


def droppable_months(connection: Connection, import_ids: Collection[str], before: datetime) -> list[date]:
    """The months that are over for so long, and that hold nothing but plans of these imports; the oldest first."""
    parent = cast(literal(plan_row.fullname, String), REGCLASS)
    query: Select[Any] = (
        select(relations.c.relname)
        .join(_children, _children.c.inhrelid == relations.c.oid)
        .where(_children.c.inhparent == cast(parent, OID))
    )
    months = sorted(month for name in connection.scalars(query) if (month := _month(name)) is not None)
    over = min(before.date(), datetime.now(UTC).date())
    old = [month for month in months if _next(month) <= over]
    return [month for month in old if not _holds_others(connection, month, import_ids)]


def drop_month(store: Store, month: date) -> bool:
    """Drop a month of plans; False if others use the table all the time, so that it is left for another night.

    Plans and applies that begin meanwhile wait for fractions of a second.
    """
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_BETWEEN_TRIES)
        try:
            with store.engine.begin() as connection:
                connection.execute(select(func.set_config("lock_timeout", _LOCK_TIMEOUT, True)))
                connection.execute(select(getattr(func, SCHEMA).drop_plan_month(cast(month, Date))))
            return True
        except OperationalError as error:
            if sqlstate(error) != LOCK_NOT_AVAILABLE:
                raise
    return False


def delete_plan_in_blocks(store: Store, import_id: str) -> None:
    """Delete the plan of an import, some rows in each transaction."""
    key = (plan_row.c.import_id, plan_row.c.row, plan_row.c.planned_on)
    block = select(*key).where(plan_row.c.import_id == import_id).order_by(plan_row.c.row).limit(ROWS_AT_A_TIME)
    some = delete(plan_row).where(tuple_(*key).in_(block))
    deleted = ROWS_AT_A_TIME
    while deleted >= ROWS_AT_A_TIME:
        with store.engine.begin() as connection:
            deleted = connection.execute(some).rowcount
    with store.engine.begin() as connection:
        for plan in (plan_leaver, plan_attribute):
            connection.execute(delete(plan).where(plan.c.import_id == import_id))


def _holds_others(connection: Connection, month: date, import_ids: Collection[str]) -> bool:
    # By way of the whole table, on which the program has rights; PostgreSQL looks into this month only.
    day, import_id = plan_row.c.planned_on, plan_row.c.import_id
    is_other = import_id != func.all(literal(list(import_ids), ARRAY(String)))
    return bool(connection.scalar(select(exists(select(import_id).where(day >= month, day < _next(month), is_other)))))


def _month(name: str) -> date | None:
    found = _MONTH.fullmatch(name)
    return date(int(found[1]), int(found[2]), 1) if found else None


def _next(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)
