"""Outages: a disk that is full, a server that went away, a folder that cannot be written; no fault of a file."""

from __future__ import annotations

import errno
import os

import psycopg
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError

from engage_etl.errors import (
    DataFolderUnusable,
    DiskFull,
    ReportMissing,
    SourceUnavailable,
    StoreError,
    StoreUnavailable,
)
from engage_etl.settings import Settings

OUTAGES = (OSError, OperationalError, psycopg.OperationalError)
"""Errors of the file system; of the server, as SQLAlchemy wraps them and as COPY raises them."""

NO_ROOM = os.strerror(errno.ENOSPC)
"""How the system says that a disk is full; the embedded server speaks English, and so does this process by default."""

_DISK_FULL = "53100"
_CONNECTION = "08"
"""Class of the codes of connections that fail."""
_SHUT_DOWN = ("57P01", "57P02", "57P03", "57P05")
"""Ended by an administrator, by a crash, still starting or already stopping, idle for too long."""
_REFUSES = "FATAL"
_FOR_A_MOMENT = (
    # Starting up, shutting down, in recovery mode, or, while it redoes what a crash undid, not yet accepting connections.
    "the database system is ",
    "too many clients", "too many connections", "connection slots are reserved", "terminating connection", "crash",
    # PgBouncer's words while the server behind it is away, or all its connections are in use.
    "query_wait_timeout", "server_login_retry", "login has been failing", "server down", "cannot connect to server",
    "no more connections allowed",
)  # fmt: skip
"""What a server that refuses says where it will not go on refusing; others want another password or database."""
_UNVERIFIED = ("certificate", "server does not support SSL")
_TOO_LONG = "57014"

LOCK_NOT_AVAILABLE = "55P03"
"""SQLSTATE of a lock that could not be had in time."""


def sqlstate(error: DBAPIError) -> str | None:
    """The code by which PostgreSQL names an error."""
    return getattr(error.orig, "sqlstate", None)


def is_server_outage(error: BaseException) -> bool:
    """Whether an error says that the server went away or cannot go on."""
    if isinstance(error, (OperationalError, psycopg.OperationalError)):
        return True
    # What psycopg2 raises when the connection ends under it has no class of its own.
    return isinstance(error, DatabaseError) and error.connection_invalidated


def is_connection_lost(error: BaseException | None) -> bool:
    """Whether an error says that a connection to the database, a source or the network was lost or could not be made.

    Then, and only then, the same is tried again: it may work in a moment. What is wrong with a file, a full disk or a
    refused password stays as it is.
    """
    if isinstance(error, (StoreUnavailable, SourceUnavailable)):
        return error.is_passing
    if isinstance(error, ReportMissing):
        return is_connection_lost(error.__cause__)
    if isinstance(error, (ConnectionError, TimeoutError)):
        return True
    return error is not None and is_server_outage(error) and not is_disk_full(error) and _may_pass(error)


def _may_pass(error: BaseException) -> bool:
    """Whether what ails the server may be over in a moment."""
    if isinstance(error, DatabaseError) and error.connection_invalidated:
        return True
    raised = getattr(error, "orig", error)
    code = getattr(raised, "sqlstate", None) or getattr(raised, "pgcode", None)
    if is_unverified(error):
        return False
    if code is not None:
        return code.startswith(_CONNECTION) or code in _SHUT_DOWN
    return _REFUSES not in str(raised) or any(words in str(raised) for words in _FOR_A_MOMENT)


def is_unverified(error: BaseException) -> bool:
    """Whether a connection was not made since the server did not prove who it is, or does not encrypt."""
    reason = str(getattr(error, "orig", error))
    return any(words in reason for words in _UNVERIFIED)


def is_over_time(error: BaseException) -> bool:
    """Whether a statement was ended because it took longer than it may."""
    raised = getattr(error, "orig", error)
    return getattr(raised, "sqlstate", None) == _TOO_LONG and "timeout" in str(raised)


def is_disk_full(error: BaseException) -> bool:
    """Whether an error says that there is no room on the disk, ours or the server's."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    # Dagster's tables are reached through psycopg2, which calls it otherwise; a connection that fails has no code.
    raised = getattr(error, "orig", error)
    codes = (getattr(raised, "sqlstate", None), getattr(raised, "pgcode", None))
    return _DISK_FULL in codes or NO_ROOM in str(raised)


def outage(error: BaseException, settings: Settings, again: str) -> StoreError:
    """An outage as an error of ours. again: what to do when it is over, as the end of a sentence."""
    what = cause(error, settings)
    sentence = f"{what[0].upper()}{what[1:]}. Nothing is half done: {remedy(error)}, then {again}."
    if is_disk_full(error):
        return DiskFull(sentence)
    if isinstance(error, OSError):
        return DataFolderUnusable(sentence)
    return StoreUnavailable(sentence, is_passing=is_connection_lost(error))


def cause(error: BaseException, settings: Settings) -> str:
    """What an outage is, as the part of a sentence: ``the disk with the data folder /data is full``."""
    if isinstance(error, OSError):
        if is_disk_full(error):
            return f"the disk with the data folder {settings.root} is full"
        return f"{error.filename or f'the data folder {settings.root}'} cannot be read or written ({error.strerror})"
    reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
    if is_disk_full(error):
        return f"the disk of the PostgreSQL server is full ({reason})"
    if is_over_time(error):
        return (
            f"a statement took longer than it may ({reason}): ENGAGE_STATEMENT_TIMEOUT={settings.statement_timeout:g}, "
            f"ENGAGE_BULK_STATEMENT_TIMEOUT={settings.bulk_statement_timeout:g}"
        )
    return f"the PostgreSQL server gave up ({reason})"


def remedy(error: BaseException) -> str:
    """What people have to do about it first, as the part of a sentence."""
    if is_over_time(error):
        return "allow more seconds"
    return "make room" if is_disk_full(error) else "mend that"
