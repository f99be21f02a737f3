"""The embedded PostgreSQL: started by whoever needs it first, left running (decision 0002)."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from engage_etl.errors import DataFolderUnusable, DiskFull, StoreUnavailable, UsageError
from engage_etl.store.cluster import (
    ROLE,
    SOCKET_NAME,
    Cluster,
    configure_cluster,
    create_cluster,
    demand_version,
    locate_cluster,
)
from engage_etl.store.outages import NO_ROOM
from engage_etl.store.tuning import recommended, usable_memory
from engage_etl.vocabulary.counting import counted

_PAUSE = 0.05
_ORPHANS_MAY_TAKE = 5.0
_ANSWERS_WITHIN = 3
"""Seconds that a server which works needs at most for its first answer, on a machine that is busy."""


@dataclass(frozen=True)
class EmbeddedServer:
    """The server of one data folder.

    start_timeout: seconds until it must answer; shared_buffers, fsync: for tests, which want a small and fast one.
    """

    data_folder: Path
    start_timeout: float = 120.0
    shared_buffers: str | None = None
    fsync: bool = True

    def ensure_running(self) -> Cluster:
        """Start the server if it does not answer, making its cluster first where there is none.

        Any number of processes may call this in the same moment.

        Raises:
            DataFolderUnusable: the data folder cannot be written.
            StoreUnavailable: the server does not answer in time; the sentence names its log.
            DiskFull: it runs, and has no room to answer.
        """
        cluster = locate_cluster(self.data_folder)
        if answers(cluster):
            return cluster
        with _locked(cluster, self.start_timeout):
            if not answers(cluster):
                if not cluster.folder.exists():
                    create_cluster(cluster, fsync=self.fsync)
                demand_version(cluster)
                self._start(cluster)
        return cluster

    def is_running(self) -> bool:
        """Whether the server answers."""
        return answers(locate_cluster(self.data_folder))

    def stop(self, *, even_if_used: bool = False) -> bool:
        """Stop the server; False if it was not running.

        Raises:
            UsageError: others are connected.
            StoreUnavailable: it does not stop, or does not say who is connected.
        """
        cluster = locate_cluster(self.data_folder)
        with _locked(cluster, self.start_timeout):
            if _postmaster(cluster) is None:
                return False
            if not even_if_used and (others := _other_connections(cluster)):
                users = f"{counted(others, 'other connection')} {'uses' if others == 1 else 'use'} it"
                raise UsageError(f"The server is not stopped: {users}. End `engage-etl up` and imports first.")
            stopped = cluster.run("pg_ctl", "stop", "-D", cluster.folder, "-m", "fast", "-w", "-t", "60")
            if stopped.returncode != 0:
                raise StoreUnavailable(f"The embedded PostgreSQL does not stop; look at {cluster.log}.")
        return True

    def remove(self) -> None:
        """Stop the server whoever uses it, and delete its database, also where that lies apart from the data folder.

        Raises:
            StoreUnavailable: it does not stop.
        """
        self.stop(even_if_used=True)
        cluster = locate_cluster(self.data_folder)
        for folder in (cluster.sockets, cluster.home):
            shutil.rmtree(folder, ignore_errors=True)

    def _settings(self) -> dict[str, str]:
        settings = recommended(usable_memory())
        if self.shared_buffers is not None:
            settings |= {"shared_buffers": self.shared_buffers, "max_wal_size": "1GB", "min_wal_size": "80MB"}
        if not self.fsync:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "4GB"}
        return settings

    def _start(self, cluster: Cluster) -> None:
        process = _postmaster(cluster)
        started = None
        said_before = cluster.log.stat().st_size if cluster.log.exists() else 0
        if process is None:
            _clear_remains(cluster)
            configure_cluster(cluster, self._settings())
            started = _launch(cluster)
        deadline = time.monotonic() + self.start_timeout
        while (refusal := _refusal(cluster)) is not None:
            if NO_ROOM in refusal:
                # It runs, and would go on refusing until there is room.
                raise DiskFull(
                    f"The disk of the embedded PostgreSQL in {cluster.home} is full; make room, then try again."
                )
            if started is not None and started.poll() is not None:
                raise StoreUnavailable(
                    f"The embedded PostgreSQL ended while starting: {_last_words(cluster, said_before)} (log: {cluster.log})"
                )
            if time.monotonic() > deadline:
                raise StoreUnavailable(
                    f"The embedded PostgreSQL did not answer within {self.start_timeout:g} s; "
                    f"look at {cluster.log}, or allow more time with ENGAGE_SERVER_START_TIMEOUT."
                )
            time.sleep(_PAUSE)


def answers(cluster: Cluster) -> bool:
    """Whether the server answers a query: a socket or a pid alone proves nothing."""
    return _refusal(cluster) is None


def _refusal(cluster: Cluster) -> str | None:
    """Why the server does not answer, None if it does."""
    if not (cluster.sockets / SOCKET_NAME).exists():
        return "there is no socket"
    try:
        with _connect(cluster) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError as error:
        return str(error)
    return None


def _connect(cluster: Cluster) -> psycopg.Connection:
    return psycopg.connect(host=str(cluster.sockets), user=ROLE, dbname="postgres", connect_timeout=_ANSWERS_WITHIN)


@contextmanager
def _locked(cluster: Cluster, patience: float) -> Iterator[None]:
    """One process at a time starts or stops the server; the lock goes with the process that holds it."""
    file = _open_lock(cluster)
    deadline = time.monotonic() + patience
    try:
        while not _take(file):
            if time.monotonic() > deadline:
                raise StoreUnavailable(
                    f"Another process has been starting or stopping the embedded PostgreSQL in {cluster.home} "
                    f"for {patience:g} s; end it, or allow more time with ENGAGE_SERVER_START_TIMEOUT."
                )
            time.sleep(_PAUSE)
        yield
    finally:
        os.close(file)


def _open_lock(cluster: Cluster) -> int:
    """The lock file, which belongs to the server's account, so that root does not lock others out."""
    path = cluster.home / "start.lock"
    safely = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        try:
            file = os.open(path, safely | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return os.open(path, safely)
    except OSError as error:
        raise DataFolderUnusable(f"The lock file {path} cannot be opened ({error.strerror}); remove it.") from None
    if cluster.account.is_other:
        os.fchown(file, cluster.account.uid, cluster.account.gid)
    return file


def _take(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _postmaster(cluster: Cluster) -> psutil.Process | None:
    """The running server; a pid counts only if its command line names this cluster."""
    try:
        pid = int((cluster.folder / "postmaster.pid").read_text().split("\n", 1)[0])
        process = psutil.Process(pid)
        is_ours = str(cluster.folder) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, psutil.Error):
        return None
    return process if is_ours else None


def _clear_remains(cluster: Cluster) -> None:
    """Remove what a killed server left: processes that outlived it, pid file, sockets."""
    orphans = [process for process in psutil.process_iter(["cwd", "name"]) if _works_in(process, cluster)]
    _, alive = psutil.wait_procs(orphans, timeout=_ORPHANS_MAY_TAKE)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=_ORPHANS_MAY_TAKE)
    for remains in (cluster.folder / "postmaster.pid", *cluster.sockets.glob(f"{SOCKET_NAME}*")):
        remains.unlink(missing_ok=True)


def _works_in(process: psutil.Process, cluster: Cluster) -> bool:
    return process.info["cwd"] == str(cluster.folder.resolve()) and "postgres" in (process.info["name"] or "")


def _launch(cluster: Cluster) -> subprocess.Popen[bytes]:
    """Start the server in a session of its own, so that Ctrl-C in our terminal does not end it."""
    server = [str(cluster.binaries / "postgres"), "-D", str(cluster.folder), "-k", str(cluster.sockets)]
    # The shell opens the log under the server's account: root would follow a link that the account laid there.
    opening_log = ["/bin/sh", "-c", 'umask 077; exec "$@" >>"$0" 2>&1', str(cluster.log)]
    return subprocess.Popen(
        [*opening_log, *server],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={"LC_ALL": "C", "TZ": "UTC"},
        start_new_session=True,
        **cluster.account.process_options(),
    )


def _last_words(cluster: Cluster, said_before: int) -> str:
    """Why the server ended; said_before: bytes that its log had before this start."""
    said = cluster.log.read_bytes()[said_before:] if cluster.log.exists() else b""
    lines = [line for line in said.decode(errors="replace").splitlines() if "FATAL" in line]
    return lines[-1].partition("FATAL:")[2].strip() if lines else "it says nothing about why"


def _other_connections(cluster: Cluster) -> int:
    try:
        with _connect(cluster) as connection:
            found = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            ).fetchone()
    except psycopg.OperationalError:
        raise StoreUnavailable(
            f"The server is not stopped: it does not answer, so nobody knows who uses it; look at {cluster.log}, "
            "and try again when it has started."
        ) from None
    return int(found[0]) if found else 0
