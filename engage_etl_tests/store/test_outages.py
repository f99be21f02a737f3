"""A full disk and a server that went away are told apart, and what people read says what to do."""

from __future__ import annotations

import errno
import os

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from engage_etl.errors import DataFolderUnusable, DiskFull, StoreError, StoreUnavailable
from engage_etl.settings import Settings
from engage_etl.store.engine import Store
from engage_etl.store.outages import NO_ROOM, is_server_outage, outage

SETTINGS = Settings(data_dir="/srv/engage")


def from_system(number: int, file: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), file)


def refused() -> OperationalError:
    return OperationalError("", {}, psycopg.OperationalError(f"FATAL:  could not write init file: {NO_ROOM}"))


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (from_system(errno.ENOSPC, "/srv/x"), DiskFull, "The disk with the data folder /srv/engage is full."),
        (from_system(errno.EDQUOT), DiskFull, "The disk with the data folder /srv/engage is full."),
        (from_system(errno.EACCES, "/srv/x"), DataFolderUnusable, "/srv/x cannot be read or written (Permission denied)."),
        (from_system(errno.EIO), DataFolderUnusable, "The data folder /srv/engage cannot be read or written (Input/output"),
        (psycopg.errors.DiskFull("no\nHINT"), DiskFull, "The disk of the PostgreSQL server is full (no). Nothing is half"),
        (refused(), DiskFull, "The disk of the PostgreSQL server is full (FATAL:  could not write init file: No space left"),
        (psycopg.OperationalError("gone\nfar"), StoreUnavailable, "The PostgreSQL server gave up (gone). Nothing is half"),
    ],
    ids=["full", "quota", "rights", "broken", "server full", "no room to connect", "lost"],
)  # fmt: skip
def test_the_sentence(error: BaseException, kind: type[StoreError], sentence: str) -> None:
    told = outage(error, SETTINGS, "try again")
    assert type(told) is kind
    assert str(told).startswith(sentence)
    assert str(told).endswith(": make room, then try again." if kind is DiskFull else ": mend that, then try again.")


def test_a_connection_that_is_ended_by_the_server(store: Store) -> None:
    with store.engine.connect() as lost, store.engine.connect() as other:
        pid = lost.scalar(text("SELECT pg_backend_pid()"))
        other.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})
        with pytest.raises(OperationalError) as raised:
            lost.execute(text("SELECT 1"))
    assert is_server_outage(raised.value)
    assert "terminating connection" in str(outage(raised.value, store.settings, "try again"))


@pytest.mark.parametrize("statement", ["SELECT no_such_column", "SELECT 1/0"])
def test_a_fault_of_ours_is_no_outage(store: Store, statement: str) -> None:
    with store.engine.connect() as connection, pytest.raises(Exception) as raised:
        connection.execute(text(statement))
    assert not is_server_outage(raised.value)
