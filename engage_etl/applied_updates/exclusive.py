"""The transaction that applies: no other writer of contacts runs beside it (R31, R32, decision 0003)."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import DDL

from engage_etl.errors import StoreUnavailable
from engage_etl.store.engine import Store
from engage_etl.store.tables import contact, membership

_log = logging.getLogger(__name__)
_ONE_TRY = "2s"
_LOCK_NOT_AVAILABLE = "55P03"
_APPLYING = func.hashtextextended("engage-etl applying", 0)


@contextmanager
def exclusive_transaction(store: Store, *, file: str) -> Iterator[Connection]:
    """A transaction that holds contacts and memberships against other writers; readers are not kept out.

    The locks are the first thing that the transaction asks for, so that it can be part of no deadlock. While it waits
    for them it holds nothing, and lets vacuum and the writers that queue behind it pass between its tries.

    file: name of the import's file, for messages.

    Raises:
        StoreUnavailable: others held the locks longer than ``lock_wait_limit``.
    """
    deadline = time.monotonic() + store.settings.lock_wait_limit
    with store.engine.connect() as connection:
        while not _take_locks(connection):
            connection.rollback()
            if time.monotonic() > deadline:
                raise StoreUnavailable(
                    f"{file}: others have been writing contacts for more than {store.settings.lock_wait_limit:g} s, so "
                    "that nothing could be applied; run the import again when they have ended."
                )
            _log.warning("%s: waiting for other writers of contacts to end.", file)
        connection.execute(select(func.set_config("engage.applying", "on", True)))
        try:
            yield connection
        except BaseException:
            connection.rollback()
            raise
        connection.commit()


def _take_locks(connection: Connection) -> bool:
    """Begin a transaction and take the locks; False if others held one for the time of one try."""
    connection.execute(select(func.set_config("lock_timeout", _ONE_TRY, True)))
    try:
        connection.execute(select(func.pg_advisory_xact_lock(_APPLYING)))
        for table in (contact, membership):
            connection.execute(DDL("LOCK TABLE %(fullname)s IN SHARE ROW EXCLUSIVE MODE").against(table))
        connection.execute(select(func.set_config("lock_timeout", "0", True)))
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        return False
    return True
