"""The transaction that applies: no other writer of contacts runs beside it (R31, R32, decisions 0003 and 0008)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import DBAPIError

from engage_etl.applied_updates.locks import wait_for_locks
from engage_etl.applied_updates.waiting import Waiting
from engage_etl.errors import StoreUnavailable
from engage_etl.store.engine import Store
from engage_etl.store.outages import LOCK_NOT_AVAILABLE, sqlstate

ATTEMPTS = 5
"""How often an apply is tried that others end by a conflict."""

_CONFLICTS = {LOCK_NOT_AVAILABLE, "40P01", "40001"}
"""Lock timeout, deadlock, serialization: afterwards it is as if nothing had been tried."""
_UNTRACED = {"23503", "23505", "23P01"}
"""Foreign key, unique index, exclusion: somebody wrote past the triggers by which drift is seen."""

_SETTINGS = {
    "engage.applying": "on",
    # All locks are held. Only triggers that others put on these tables can still meet locks.
    "lock_timeout": "5s",
    # A process that is stopped, or a machine that is gone, does not keep the locks.
    "idle_in_transaction_session_timeout": "10min",
}
_log = logging.getLogger(__name__)


def exclusively(store: Store, write: Callable[[Connection, bool], None], *, file: str) -> None:
    """Run ``write`` in an exclusive transaction, from the start again if a conflict with others ends it.

    write: gets the connection, and whether others left no trace of what they wrote, so that no plan can be trusted.

    Raises:
        StoreUnavailable: others held the locks too long, or stood in the way again and again.
    """
    is_overtaken, reason = False, ""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with exclusive_transaction(store, file=file) as connection:
                write(connection, is_overtaken)
            return
        except DBAPIError as error:
            is_untraced = sqlstate(error) in _UNTRACED
            if not is_untraced and sqlstate(error) not in _CONFLICTS:
                raise
            if is_untraced and is_overtaken:
                raise
            is_overtaken |= is_untraced
            reason = str(error.orig).splitlines()[0].strip()
        _log.warning("%s: another program stood in the way (%s); attempt %d had no effect.", file, reason, attempt)
    raise StoreUnavailable(
        f"{file}: other programs stood in the way {ATTEMPTS} times ({reason}), and nothing was applied; "
        "run the import again when they have ended."
    )


@contextmanager
def exclusive_transaction(store: Store, *, file: str) -> Iterator[Connection]:
    """A transaction that holds contacts and memberships against other writers; readers are not kept out.

    It takes all its locks first. While it waits long for one it holds no other, and while it holds some it waits too
    shortly for PostgreSQL to look for deadlocks: it is part of none, nor are those whom it keeps waiting.

    file: name of the import's file, for messages.

    Raises:
        StoreUnavailable: others held the locks longer than ``lock_wait_limit``.
    """
    waiting = Waiting(file, store.settings.lock_wait_limit)
    # Whatever the server's default is: a snapshot older than the locks would not see what was written before them.
    with store.engine.connect().execution_options(isolation_level="READ COMMITTED") as connection:
        wait_for_locks(connection, waiting)
        waiting.is_over()
        settings = _SETTINGS | {"application_name": f"engage-etl applying {file}"}
        connection.execute(select(*(func.set_config(name, value, True) for name, value in settings.items())))
        try:
            yield connection
        except BaseException:
            connection.rollback()
            raise
        connection.commit()
