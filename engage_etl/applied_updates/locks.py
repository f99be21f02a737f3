"""The locks that an apply needs, and how they are had without a deadlock (R32, decision 0008)."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Connection, Executable, Integer, Table, cast, column, func, select, table
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import DDL

from engage_etl.applied_updates.lock_holders import APPLYING, Holder, find_holders
from engage_etl.applied_updates.waiting import Waiting
from engage_etl.store.outages import LOCK_NOT_AVAILABLE, sqlstate
from engage_etl.store.tables import contact, contact_group, custom_attribute, membership

_BETWEEN_LOOKS = 0.25
"""Seconds between two looks at who is in the way."""
_LONGEST_REQUEST = 5_000
_LONGEST_REQUEST_WITH_LOCKS = 500
"""Milliseconds that a lock is asked for, if none is held yet, or if some are."""

_DEADLOCK_TIMEOUT = (
    select(cast(column("setting"), Integer))
    .select_from(table("pg_settings", schema="pg_catalog"))
    .where(column("name") == "deadlock_timeout")
)
"""Milliseconds after which PostgreSQL looks whether a wait is part of a deadlock."""


@dataclass(frozen=True, eq=False)
class _Lock:
    """A lock that an apply needs. table: on which, or None of the one among imports."""

    statement: Executable
    table: Table | None


def _whole(table: Table) -> _Lock:
    return _Lock(DDL("LOCK TABLE %(fullname)s IN EXCLUSIVE MODE").against(table), table)


_ONE_IMPORT = _Lock(select(func.pg_advisory_xact_lock(*APPLYING)), None)
_WHOLE_TABLES = (_whole(contact), _whole(membership), _whole(custom_attribute))
"""EXCLUSIVE keeps out those who only lock rows too (``SELECT ... FOR UPDATE``, foreign keys to contacts)."""
_GROUPS = _Lock(select(contact_group.c.group_id).with_for_update(read=True, key_share=True), contact_group)
"""Memberships refer to groups; new ones can be created meanwhile."""


def wait_for_locks(connection: Connection, waiting: Waiting) -> None:
    """Begin a transaction that holds all locks.

    The lock that is not to be had is the first that is asked for the next time, and is waited for long. Who keeps it
    even then is only watched until they end, since everybody who asks later would have to queue behind a request.

    Raises:
        StoreUnavailable: others held them too long.
    """
    locks = [*_WHOLE_TABLES, _GROUPS]
    while (missing := _take(connection, locks)) is not None:
        connection.rollback()
        tables = [lock.table for lock in (*_WHOLE_TABLES, missing) if lock.table is not None]
        was_waited_for_long = missing in (_ONE_IMPORT, locks[0])
        _watch(connection, waiting, tables, until_they_end=was_waited_for_long)
        locks.sort(key=lambda lock: lock is not missing)


def _take(connection: Connection, locks: list[_Lock]) -> _Lock | None:
    """Begin a transaction and take the locks; returns the one that could not be had, or None if all are held."""
    deadlocks_are_sought_after = connection.execute(_DEADLOCK_TIMEOUT).scalar_one()
    # Long enough for PostgreSQL to end an autovacuum that is in the way, which it does when it looks for deadlocks.
    long = min(deadlocks_are_sought_after + 1_000, _LONGEST_REQUEST)
    short = min(max(deadlocks_are_sought_after // 2, 1), _LONGEST_REQUEST_WITH_LOCKS)
    for lock in (_ONE_IMPORT, *locks):
        # Nobody waits for the lock among imports while holding another one.
        patience = long if lock in (_ONE_IMPORT, locks[0]) else short
        connection.execute(select(func.set_config("lock_timeout", f"{patience}ms", True)))
        try:
            connection.execute(lock.statement)
        except OperationalError as error:
            if sqlstate(error) != LOCK_NOT_AVAILABLE:
                raise
            return lock
    return None


def _watch(connection: Connection, waiting: Waiting, tables: list[Table], *, until_they_end: bool) -> None:
    """Look who is in the way, and wait for the end of their transactions; others who come meanwhile do not matter."""
    holders = _look(connection, waiting, tables)
    first = {holder.transaction for holder in holders}
    while until_they_end and any(holder.transaction in first for holder in holders):
        time.sleep(_BETWEEN_LOOKS)
        holders = _look(connection, waiting, tables)


def _look(connection: Connection, waiting: Waiting, tables: list[Table]) -> list[Holder]:
    holders = find_holders(connection, tables)
    connection.rollback()
    waiting.go_on(holders)
    return holders
