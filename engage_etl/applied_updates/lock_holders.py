"""Who is in the way of an import that is to be applied: transactions that hold its locks, as PostgreSQL knows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Connection,
    DateTime,
    Integer,
    Select,
    Table,
    Text,
    and_,
    column,
    func,
    or_,
    select,
    table,
)

APPLYING = (0x656E6761, 1)
"""Key of the advisory lock that imports hold while they are applied, one at a time: the first letters of our name."""

_MOST_NAMED = 3
_HARMLESS = ("AccessShareLock", "SIReadLock")
_locks = table(
    "pg_locks",
    *(column(name, Text) for name in ("locktype", "mode", "virtualtransaction")),
    *(column(name, Integer) for name in ("pid", "database", "relation", "classid", "objid")),
    column("granted", Boolean),
    schema="pg_catalog",
)
_sessions = table(
    "pg_stat_activity",
    column("pid", Integer),
    *(column(name, Text) for name in ("application_name", "usename", "state")),
    column("xact_start", DateTime(timezone=True)),
    schema="pg_catalog",
)
_databases = table("pg_database", column("oid", Integer), column("datname", Text), schema="pg_catalog")


@dataclass(frozen=True)
class Holder:
    """A transaction that holds a lock. What its session is, PostgreSQL does not tell to everybody.

    transaction: its virtual id; is_import: it is an import that is being applied; pid: None of a prepared transaction.
    """

    transaction: str
    is_import: bool
    pid: int | None
    program: str | None
    user: str | None
    state: str | None
    since: datetime | None

    def __str__(self) -> str:
        if self.pid is None:
            return "a prepared transaction (see pg_prepared_xacts)"
        since = f"since {self.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if self.since else ""
        facts = [self.program, f"user {self.user}" if self.user else "", f"{self.state or ''} {since}".strip()]
        known = ", ".join(fact for fact in facts if fact)
        return f"process {self.pid} ({known})" if known else f"process {self.pid}"


def find_holders(connection: Connection, tables: Sequence[Table]) -> list[Holder]:
    """The transactions of others that write or lock rows of some tables, and the import that is being applied."""
    return [Holder(**row) for row in connection.execute(_held(tables)).mappings()]


def named(holders: Sequence[Holder]) -> str:
    """Holders as a sentence names them, the first few of many."""
    shown = ", ".join(str(holder) for holder in holders[:_MOST_NAMED])
    more = len(holders) - _MOST_NAMED
    return f"{shown} and {more} more" if more > 0 else shown


def _held(tables: Sequence[Table]) -> Select[Any]:
    lock, session = _locks.c, _sessions.c
    relations = [func.to_regclass(each.fullname) for each in tables]
    is_advisory = and_(lock.locktype == "advisory", lock.classid == APPLYING[0], lock.objid == APPLYING[1])
    in_the_way = or_(
        and_(is_advisory, lock.granted),
        # A request that is not granted yet was there before ours.
        and_(lock.locktype == "relation", lock.relation.in_(relations), lock.mode.not_in(_HARMLESS)),
    )
    return (
        select(
            lock.virtualtransaction.label("transaction"),
            func.bool_or(is_advisory).label("is_import"),
            func.min(lock.pid).label("pid"),
            func.min(session.application_name).label("program"),
            func.min(session.usename).label("user"),
            func.min(session.state).label("state"),
            func.min(session.xact_start).label("since"),
        )
        .join_from(_locks, _databases, _databases.c.oid == lock.database)
        .outerjoin(_sessions, session.pid == lock.pid)
        .where(
            _databases.c.datname == func.current_database(),
            lock.pid.is_distinct_from(func.pg_backend_pid()),
            in_the_way,
        )
        .group_by(lock.virtualtransaction)
        .order_by(func.min(session.xact_start), lock.virtualtransaction)
    )
