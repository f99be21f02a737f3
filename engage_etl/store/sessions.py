"""What every session of ours is set to: once when it begins, or, behind a pooler, anew in each transaction (decision 0024)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, func, select
from sqlalchemy.exc import OperationalError

from engage_etl.settings import Settings
from engage_etl.store.tuning import SESSION

# The role is called like the schema, and PostgreSQL would search that one first: no table is found by accident.
_FIXED = {"timezone": "UTC", "jit": "off", "search_path": "public"}
_ONCE = ("temp_buffers",)
"""What cannot be set any more once a session has used a temporary table, as one that others had before us may have."""

_UNUSABLE = (psycopg.errors.IdleInTransactionSessionTimeout, psycopg.errors.ReadOnlySqlTransaction)
"""The session was ended, or its server has become a standby; psycopg counts both among faults of the program."""


@dataclass(frozen=True)
class TimeLimits:
    """How long our sessions may keep the server busy, or others waiting, in seconds; 0: without limit.

    statement: for one statement; idle: between two statements of a transaction.
    """

    statement: float
    idle: float

    @classmethod
    def of_looking(cls, settings: Settings) -> TimeLimits:
        """Those of commands and pages that show something."""
        return cls(settings.statement_timeout, settings.idle_transaction_timeout)

    @classmethod
    def of_bulk_work(cls, settings: Settings) -> TimeLimits:
        """Those of imports, and of all else that takes as long as there are rows."""
        return cls(settings.bulk_statement_timeout, settings.idle_transaction_timeout)

    def as_settings(self) -> dict[str, str]:
        """As settings of PostgreSQL."""
        limits = {"statement_timeout": self.statement, "idle_in_transaction_session_timeout": self.idle}
        return {name: f"{round(seconds * 1000)}ms" for name, seconds in limits.items()}


def make_engine(url: URL, settings: Settings, limits: TimeLimits, *, is_pooled: bool) -> Engine:
    """Connections to a database, set as our statements need it. is_pooled: transactions may come to different sessions."""
    tuned = limits.as_settings() | {advice.name: advice.wanted(0) for advice in SESSION}
    arguments: dict[str, Any] = {"application_name": "engage-etl", "connect_timeout": settings.connect_timeout}
    if is_pooled:
        # A statement is prepared in one session, and would be run in another.
        arguments |= {"prepare_threshold": None}
    else:
        # The address may say otherwise about memory and time, but not about what the program relies on.
        arguments |= {"options": f"{_options(tuned)} {url.query.get('options', '')} {_options(_FIXED)}"}
    # Parameters are personal data and do not belong into messages (R41).
    engine = create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args=arguments)
    event.listen(engine, "handle_error", _as_lost, retval=True)
    if is_pooled:
        _set_in_each_transaction(engine, tuned | _FIXED)
    return engine


def _as_lost(context: ExceptionContext) -> BaseException | None:
    """A connection that cannot be used any more, as one that was lost: it is closed, and the same may be tried again."""
    error = context.original_exception
    if not isinstance(error, _UNUSABLE):
        return None
    context.is_disconnect = True
    return OperationalError(context.statement, None, error, connection_invalidated=True)


def _options(settings: dict[str, str]) -> str:
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def _set_in_each_transaction(engine: Engine, settings: dict[str, str]) -> None:
    # SET, unlike set_config(), takes no snapshot: the first statement that reads still decides what a transaction sees.
    statements = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in settings.items() if name not in _ONCE)
    # Whoever begins it may ask for cursors on the server, which take queries only.
    plainly = {"stream_results": False}

    def set_all(connection: Connection) -> None:
        connection.exec_driver_sql(statements, execution_options=plainly)

    event.listen(engine, "begin", set_all)


def is_session_of_its_own(connection: Connection) -> bool:
    """Whether the process that was told when connecting is the one that answers: behind a pooler they differ."""
    driver: Any = connection.connection.driver_connection
    return bool(driver.info.backend_pid == connection.scalar(select(func.pg_backend_pid())))


def share_locks(connection: Connection, other: Connection) -> bool:
    """Whether a lock that one connection takes is seen by the other: whether both are to the same database."""
    number = secrets.randbits(62)
    connection.execute(select(func.pg_advisory_xact_lock(number)))
    return not other.scalar(select(func.pg_try_advisory_xact_lock(number)))
