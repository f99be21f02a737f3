"""A full disk and a server that went away are told apart, and what people read says what to do."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psutil
import psycopg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError

from engage_etl.errors import DataFolderUnusable, DiskFull, StoreError, StoreUnavailable
from engage_etl.settings import Settings
from engage_etl.store.cluster import ROLE, Cluster
from engage_etl.store.engine import Store, open_store
from engage_etl.store.outages import NO_ROOM, is_connection_lost, is_server_outage, outage
from engage_etl_tests.conftest import stoppable_server
from engage_etl_tests.waiting import wait_for

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


def test_a_connection_that_is_lost_may_work_in_a_moment(store: Store) -> None:
    with store.engine.connect() as lost, store.engine.connect() as other:
        pid = lost.scalar(text("SELECT pg_backend_pid()"))
        other.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})
        with pytest.raises(OperationalError) as raised:
            lost.execute(text("SELECT 1"))
    assert is_connection_lost(raised.value)
    told = outage(raised.value, store.settings, "try again")
    assert isinstance(told, StoreUnavailable) and told.is_passing


@pytest.mark.parametrize(
    ("error", "is_lost"),
    [
        (psycopg.OperationalError("connection refused"), True),
        (psycopg.OperationalError("FATAL:  the database system is starting up"), True),
        (psycopg.OperationalError("FATAL:  the database system is in recovery mode"), True),
        # Seen for as long as a server redoes what a crash undid, which takes minutes where checkpoints are far apart.
        (psycopg.OperationalError("FATAL:  the database system is not yet accepting connections"), True),
        (psycopg.OperationalError("FATAL:  sorry, too many clients already"), True),
        (psycopg.OperationalError('FATAL:  too many connections for role "ann"'), True),
        (
            psycopg.OperationalError("FATAL:  remaining connection slots are reserved for roles with the SUPERUSER"),
            True,
        ),
        (psycopg.OperationalError('FATAL:  password authentication failed for user "ann"'), False),
        (psycopg.OperationalError('FATAL:  database "x" does not exist'), False),
        (psycopg.errors.AdminShutdown("terminating connection due to administrator command"), True),
        (psycopg.errors.CannotConnectNow("starting up"), True),
        (psycopg.errors.QueryCanceled("statement timeout"), False),
        (psycopg.errors.LockNotAvailable("lock timeout"), False),
        (psycopg.errors.DeadlockDetected("deadlock"), False),
        (psycopg.errors.OutOfMemory("out of memory"), False),
        (psycopg.errors.DiskFull("full"), False),
        (refused(), False),
        (ConnectionResetError(104, "reset"), True),
        (TimeoutError(), True),
        (from_system(errno.ENOSPC), False),
        (from_system(errno.EACCES), False),
        (ValueError("wrong"), False),
        (StoreUnavailable("locks"), False),
        (None, False),
    ],
    ids=repr,
)
def test_what_is_tried_again(error: BaseException | None, is_lost: bool) -> None:
    assert is_connection_lost(error) is is_lost
    if isinstance(error, psycopg.Error):
        assert is_connection_lost(OperationalError("", {}, error)) is is_lost


def test_a_store_that_cannot_be_reached_or_refuses_the_user(store: Store) -> None:
    address = make_url(str(store.settings.database_url))
    nobody_there = store.settings.model_copy(update={"database_url": "postgresql://nobody@127.0.0.1:1/engage"})
    unknown = address.set(username="nobody").render_as_string(hide_password=False)
    for settings, is_passing in (
        (nobody_there, True),
        (store.settings.model_copy(update={"database_url": unknown}), False),
    ):
        with pytest.raises(StoreUnavailable) as raised:
            open_store(settings)
        assert raised.value.is_passing is is_passing


def test_a_server_that_redoes_what_a_crash_undid_is_waited_for() -> None:
    with stoppable_server("redo") as embedded, ThreadPoolExecutor(1) as other:
        cluster = embedded.ensure_running()
        address = f"host={cluster.sockets} user={ROLE} dbname=postgres"
        with psycopg.connect(address) as connection:
            connection.execute("CREATE TABLE much AS SELECT repeat('x', 200) AS x FROM generate_series(1, 300000)")
        assert cluster.run("pg_ctl", "stop", "-D", cluster.folder, "-m", "immediate", "-w").returncode == 0
        started = other.submit(embedded.ensure_running)
        refusals = list(refusals_while_it_redoes(cluster, address))
        started.result()
    assert "not yet accepting connections" in str(refusals[-1])
    assert all(is_connection_lost(refusal) for refusal in refusals)


def refusals_while_it_redoes(cluster: Cluster, address: str) -> Iterator[psycopg.OperationalError]:
    """How a server refuses until it has begun to redo: it goes on in steps, so that no machine is too slow to see that."""
    redoing = wait_for("the process that redoes", lambda: redoing_process(cluster), pause=0)
    redoing.suspend()
    refusal = None
    while refusal is None or "not yet accepting connections" not in str(refusal):
        with pytest.raises(psycopg.OperationalError) as raised:
            psycopg.connect(address)
        yield (refusal := raised.value)
        redoing.resume()
        time.sleep(0.001)
        redoing.suspend()
    redoing.resume()


def redoing_process(cluster: Cluster) -> psutil.Process | None:
    """The startup process of a server that starts."""
    with suppress(FileNotFoundError, psutil.NoSuchProcess):
        server = psutil.Process(int((cluster.folder / "postmaster.pid").read_text().split()[0]))
        return next((child for child in server.children() if "startup" in " ".join(child.cmdline())), None)
    return None


@pytest.mark.parametrize("statement", ["SELECT no_such_column", "SELECT 1/0"])
def test_a_fault_of_ours_is_no_outage(store: Store, statement: str) -> None:
    with store.engine.connect() as connection, pytest.raises(Exception) as raised:
        connection.execute(text(statement))
    assert not is_server_outage(raised.value) and not is_connection_lost(raised.value)
