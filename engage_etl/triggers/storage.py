"""Dagster's storage of an installation: in a database of its own, on the server of the store."""

from __future__ import annotations

import math
import select as system_select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from dagster import EventLogEntry, StringSource
from dagster._core.storage.schedules.schema import ScheduleStorageSqlMetadata
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage, PostgresRunStorage
from sqlalchemy import Connection, Engine, NullPool, create_engine, event, func, select
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from engage_etl.settings import load_settings
from engage_etl.store.engine import dagster_database_url
from engage_etl.triggers.failure_sentences import with_our_sentence

_MADE_LAST = ("instance_info", *ScheduleStorageSqlMetadata.tables)
"""Tables that are there when all are: Dagster makes those of runs first, then of events, then of schedules."""

_IDLE = 1.0
"""Seconds after which a kept connection is not trusted any more."""


class _RunStorage(PostgresRunStorage):
    """Runs; when Dagster is done with its instance it says so to this part, which closes the connections of all parts."""

    def has_run_stats_index_cols(self) -> bool:
        """Yes: no Dagster that this program has worked with makes its tables without these columns.

        Dagster asks the catalogue at each look at runs, which takes as long as the look itself; and of each instance that has
        asked, one for each look of a sensor, SQLAlchemy keeps 80 kB until there are 128.
        """
        return True

    def dispose(self) -> None:
        self._engine.dispose()


class _EventLogStorage(PostgresEventLogStorage):
    """Events; those of failures say what people can do."""

    def store_event(self, event: EventLogEntry) -> None:
        super().store_event(with_our_sentence(event))


class EngageStorage(DagsterPostgresStorage):
    """Dagster's storage, in the database ``dagster`` on the server of the store, which is found or started first.

    A static address in ``dagster.yaml`` would not survive a restart of the embedded server elsewhere. Connections are
    kept: Dagster's own storage opens one for each query, 130 of them for an import, and each costs milliseconds.
    """

    def __init__(self, url: str, inst_data: ConfigurableClassData | None) -> None:
        super().__init__(url, should_autocreate_tables=False, inst_data=inst_data)
        self._run_storage = _RunStorage(url, should_autocreate_tables=False)
        self._event_log_storage = _EventLogStorage(url, should_autocreate_tables=False)
        engine = _engine(url)
        for part in (self._run_storage, self._event_log_storage, self._schedule_storage):
            part._engine = engine

    @classmethod
    def config_type(cls) -> Any:
        """The data folder of the installation."""
        return {"data_dir": StringSource}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> EngageStorage:
        """Open the storage; the server's address comes from the installation's settings."""
        url = dagster_database_url(load_settings(data_dir=Path(config_value["data_dir"])))
        _create_tables(url)
        return cls(url, inst_data)

    @property
    def event_storage_data(self) -> ConfigurableClassData | None:
        """None: the whole storage is this class."""
        return None

    @property
    def run_storage_data(self) -> ConfigurableClassData | None:
        """None: the whole storage is this class."""
        return None

    @property
    def schedule_storage_data(self) -> ConfigurableClassData | None:
        """None: the whole storage is this class."""
        return None


def _engine(url: str) -> Engine:
    """Connections that are kept; one that the server has closed, or that was idle and gives no sign of life, is replaced."""
    # There is no transaction to end on return; where the server is gone, the attempt would be printed with its stack.
    engine = create_engine(url, isolation_level="AUTOCOMMIT", pool_size=2, max_overflow=20, pool_reset_on_return=None)

    def keep_time(_: Any, record: ConnectionPoolEntry) -> None:
        record.info["returned"] = time.monotonic()

    def demand_life(connection: Any, record: ConnectionPoolEntry, _: Any) -> None:
        if _has_ended(connection):
            raise DisconnectionError("The server has closed the connection.")
        # Asked each time (SQLAlchemy's pool_pre_ping), an import takes a tenth of a second longer.
        if time.monotonic() - record.info.get("returned", math.inf) > _IDLE:
            try:
                connection.cursor().execute("SELECT 1")
            except psycopg2.Error as error:
                raise DisconnectionError from error

    event.listen(engine, "checkin", keep_time)
    event.listen(engine, "checkout", demand_life)
    return engine


def _has_ended(connection: Any) -> bool:
    """Whether the server has said something that nobody asked for: the end of the connection. Asks the system only."""
    if connection.closed:
        return True
    poll = system_select.poll()
    poll.register(connection.fileno(), system_select.POLLIN)
    return bool(poll.poll(0))


def _create_tables(url: str) -> None:
    """Let Dagster create its tables if they lack; it fails where another process does the same (tried: one of four)."""
    with _connect(url) as connection:
        if _has_tables(connection):
            return
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("engage-etl dagster tables", 0))))
        DagsterPostgresStorage(url, should_autocreate_tables=True)


@contextmanager
def _connect(url: str) -> Iterator[Connection]:
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


def _has_tables(connection: Connection) -> bool:
    found = connection.execute(select(*(func.to_regclass(name) for name in _MADE_LAST))).one()
    return all(name is not None for name in found)
