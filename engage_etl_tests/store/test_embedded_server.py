"""The embedded server (decision 0002): started once by whoever needs it first, and again after any way of dying."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from engage_etl.errors import StoreUnavailable, UsageError
from engage_etl.store import tuning
from engage_etl.store.cluster import ROLE, SOCKET_NAME, Cluster, locate_cluster
from engage_etl.store.embedded import EmbeddedServer
from engage_etl_tests.waiting import wait_for

START = (
    "import sys; sys.path[:] = eval(sys.argv[2]); from pathlib import Path\n"
    "from engage_etl.store.embedded import EmbeddedServer\n"
    "server = EmbeddedServer(Path(sys.argv[1]), shared_buffers='32MB', fsync=False)\n"
    "cluster = server.ensure_running()\n"
    "print((cluster.folder / 'postmaster.pid').read_text().split()[0])\n"
)
# All is imported before the change of user, who may not read everything that root may.
AS_NOBODY = (
    "import os, sys; sys.path[:] = eval(sys.argv[2]); from pathlib import Path\n"
    "from engage_etl.store.embedded import EmbeddedServer\n"
    "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    "server = EmbeddedServer(Path(sys.argv[1]), shared_buffers='32MB', fsync=False)\n"
    "cluster = server.ensure_running()\n"
    "owner = cluster.folder.owner()\n"
    "print(owner, cluster.account.is_other, server.stop())\n"
)


def small(folder: Path) -> EmbeddedServer:
    return EmbeddedServer(folder, start_timeout=30, shared_buffers="32MB", fsync=False)


def remove(folder: Path, root: Path | None = None) -> None:
    """Stop the server of a data folder, and remove what it left, wherever that is."""
    cluster = locate_cluster(folder)
    small(folder).stop(even_if_used=True)
    for used in (cluster.home, cluster.sockets, root or folder):
        shutil.rmtree(used, ignore_errors=True)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A data folder with a running server, one for all tests: making a cluster takes seconds."""
    made = Path(tempfile.mkdtemp(prefix="engage-server-"))
    made.chmod(0o755)
    try:
        small(made).ensure_running()
        yield made
    finally:
        remove(made)


@pytest.fixture
def cluster(folder: Path) -> Cluster:
    """The running server."""
    return small(folder).ensure_running()


def postmaster(cluster: Cluster) -> psutil.Process:
    return psutil.Process(int((cluster.folder / "postmaster.pid").read_text().split()[0]))


def ask(cluster: Cluster) -> psycopg.Connection:
    return psycopg.connect(host=str(cluster.sockets), user=ROLE, dbname="postgres")


def works(folder: Path) -> Cluster:
    cluster = small(folder).ensure_running()
    with ask(cluster) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    return cluster


def kill(*processes: psutil.Process) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # a child of the server may have gone with it
            process.send_signal(signal.SIGKILL)
    psutil.wait_procs(list(processes), timeout=20)


def test_it_starts_and_is_found_again(folder: Path, cluster: Cluster) -> None:
    first = postmaster(works(folder))
    assert postmaster(works(folder)) == first
    assert small(folder).is_running()
    assert first.uids().real == cluster.account.uid != 0


def test_it_listens_nowhere_but_on_its_private_socket(cluster: Cluster) -> None:
    assert postmaster(cluster).net_connections(kind="inet") == []
    assert cluster.sockets.stat().st_mode & 0o077 == 0
    assert cluster.folder.stat().st_mode & 0o077 == 0


def test_it_does_not_end_with_the_terminal_of_the_process_that_started_it(cluster: Cluster) -> None:
    process = postmaster(cluster)
    assert os.getsid(process.pid) != os.getsid(0)


def test_r41_its_log_has_no_values(cluster: Cluster) -> None:
    with ask(cluster) as connection:
        connection.autocommit = True
        connection.execute("CREATE TEMP TABLE t (email text UNIQUE)")
        with pytest.raises(psycopg.errors.Error):
            connection.execute("SELECT %s::text::int FROM t UNION SELECT 'swordfish'::int", ["swordfish"])
    statement = [line for line in cluster.log.read_text().splitlines() if "STATEMENT" in line]
    assert statement == []


def test_many_processes_at_the_same_moment_start_one_server(folder: Path) -> None:
    small(folder).stop(even_if_used=True)
    command = [sys.executable, "-c", START, str(folder), repr(sys.path)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    answers = [process.communicate(timeout=60)[0] for process in started]
    assert [process.returncode for process in started] == [0] * 6
    assert len(set(answers)) == 1


def test_many_processes_at_the_same_moment_make_one_cluster() -> None:
    root = Path(tempfile.mkdtemp(prefix="engage-server-"))
    root.chmod(0o755)
    try:
        command = [sys.executable, "-c", START, str(root / "data"), repr(sys.path)]
        started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
        answers = [process.communicate(timeout=60)[0] for process in started]
        assert [process.returncode for process in started] == [0] * 6
        assert len(set(answers)) == 1
        assert sorted(path.name for path in (root / "data").iterdir()) == ["postgres"]
    finally:
        remove(root / "data", root)


@pytest.mark.parametrize("with_children", [False, True])
def test_after_a_kill(folder: Path, cluster: Cluster, with_children: bool) -> None:
    with ask(cluster) as connection:
        connection.autocommit = True
        connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        connection.execute("INSERT INTO kept VALUES (1)")
        connection.execute("CHECKPOINT")  # the server of the tests does not wait for the disk at a commit
    process = postmaster(cluster)
    kill(process, *(process.children() if with_children else []))
    with ask(works(folder)) as connection:
        assert connection.execute("SELECT count(*) > 0 FROM kept").fetchone() == (True,)


def test_after_a_kill_while_a_client_is_connected(folder: Path, cluster: Cluster) -> None:
    connection = ask(cluster)
    kill(postmaster(cluster))
    assert works(folder)
    connection.close()


def test_the_statement_of_a_client_that_is_gone_ends_within_seconds(cluster: Cluster) -> None:
    """Or the locks of an import that was killed would be held until its statement has ended."""
    running = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
    client = ask(cluster)
    with ask(cluster) as connection:
        connection.autocommit = True
        pid = client.info.backend_pid
        client.pgconn.send_query(b"SELECT pg_sleep(600)")
        client.pgconn.finish()
        wait_for("the end of a statement", lambda: connection.execute(running, [pid]).fetchone() is None)


def test_after_a_kill_that_a_frozen_backend_outlives(folder: Path, cluster: Cluster) -> None:
    """It would hold the shared memory of the dead server, and PostgreSQL refuses to start beside it."""
    connection = ask(cluster)
    backend = psutil.Process(connection.info.backend_pid)
    process = postmaster(cluster)
    backend.suspend()
    kill(process)
    assert backend.is_running()
    works(folder)
    assert not backend.is_running()
    connection.close()


def test_a_server_that_hangs_is_neither_waited_for_forever_nor_started_twice(folder: Path, cluster: Cluster) -> None:
    process = postmaster(cluster)
    process.suspend()
    try:
        with pytest.raises(StoreUnavailable, match=r"within 0\.1 s; .*server\.log, .* ENGAGE_SERVER_START_TIMEOUT"):
            EmbeddedServer(folder, start_timeout=0.1).ensure_running()
        with pytest.raises(StoreUnavailable, match="nobody knows who uses it"):
            small(folder).stop()
    finally:
        process.resume()
    assert postmaster(works(folder)) == process


def test_a_starter_that_hangs_is_not_waited_for_forever(folder: Path, cluster: Cluster) -> None:
    with (cluster.home / "start.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreUnavailable, match=r"Another process has been starting or stopping .* for 0\.1 s"):
            EmbeddedServer(folder, start_timeout=0.1).stop()
    assert small(folder).is_running()


def test_a_server_that_ends_says_why_and_not_why_it_once_did(folder: Path, cluster: Cluster) -> None:
    small(folder).stop(even_if_used=True)
    with cluster.log.open("a") as log:
        log.write("2026-01-01 FATAL:  long ago\n")
    settings = cluster.folder / "postgresql.auto.conf"
    settings.write_text("no_such_setting = 1\n")
    with pytest.raises(StoreUnavailable, match=r"ended while starting: .*contains errors"):
        works(folder)
    settings.write_text("")
    works(folder)


def test_it_is_the_same_server_by_a_link_and_by_a_relative_path(
    folder: Path, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = postmaster(cluster)
    link = tmp_path / "link"
    link.symlink_to(folder)
    monkeypatch.chdir(folder.parent)
    for name in (link, Path(folder.name)):
        assert locate_cluster(name) == cluster
        assert postmaster(works(name)) == first
    assert small(link).stop(even_if_used=True) is True


def test_another_temporary_folder_finds_the_same_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduled process and a terminal may differ in $TMPDIR."""
    root = Path(tempfile.mkdtemp(prefix="engage-server-"))
    root.chmod(0o755)
    data = root / ("deep" * 20) / ("folder" * 12)
    first = locate_cluster(data)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert locate_cluster(data) == first
    first.sockets.rmdir()
    shutil.rmtree(root)


def test_removing_it_leaves_nothing() -> None:
    root = Path(tempfile.mkdtemp(prefix="engage-server-"))
    root.chmod(0o755)
    cluster = works(root / "data")
    with ask(cluster):
        small(root / "data").remove()
    assert list((root / "data").iterdir()) == []
    shutil.rmtree(root)


@pytest.mark.parametrize(("limit", "expected"), [("1073741824", 1024**3), ("max", None), (str(2**62), None)])
def test_a_container_counts_by_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, expected: int | None
) -> None:
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    monkeypatch.setattr(tuning, "_MEMORY_LIMITS", (tmp_path / "memory.max", tmp_path / "missing"))
    assert tuning.usable_memory() == (expected or psutil.virtual_memory().total)


@pytest.mark.parametrize("pid", [lambda: str(os.getpid()), lambda: "", lambda: "1", lambda: "4000000", lambda: "x"])
def test_a_stale_pid_file(folder: Path, cluster: Cluster, pid: object) -> None:
    """It may name a process that lives and is another one's; that one is never touched."""
    small(folder).stop(even_if_used=True)
    given = pid()  # type: ignore[operator]
    (cluster.folder / "postmaster.pid").write_text(f"{given}\n{cluster.folder}\n" if given else "")
    assert not small(folder).is_running()
    assert small(folder).stop() is False
    assert postmaster(works(folder)).pid not in (os.getpid(), 1)


def test_a_stale_socket_and_its_lock(folder: Path, cluster: Cluster) -> None:
    small(folder).stop(even_if_used=True)
    (cluster.sockets / SOCKET_NAME).write_text("")
    (cluster.sockets / f"{SOCKET_NAME}.lock").write_text(f"{os.getpid()}\n")
    assert not small(folder).is_running()
    works(folder)


def test_it_is_not_stopped_while_others_are_connected(folder: Path, cluster: Cluster) -> None:
    with ask(cluster), pytest.raises(UsageError, match="1 other connection uses it"):
        small(folder).stop()
    assert small(folder).is_running()
    with ask(cluster):
        assert small(folder).stop(even_if_used=True) is True
    assert small(folder).stop() is False
    assert not small(folder).is_running()


def test_what_a_killed_initdb_left_is_in_nobodys_way() -> None:
    root = Path(tempfile.mkdtemp(prefix="engage-server-"))
    root.chmod(0o755)
    # A very deep folder besides: the path of a socket is limited to 107 bytes.
    data = root / ("deep" * 20) / ("folder" * 12)
    assert len(str(data)) > 150
    try:
        cluster = locate_cluster(data)
        (cluster.home / "cluster.new").mkdir()
        (cluster.home / "cluster.new" / "PG_VERSION").write_text("18")
        works(data)
        assert len(str(cluster.sockets / SOCKET_NAME)) <= 107
    finally:
        remove(data, root)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has other users to become")
def test_a_folder_that_the_servers_account_cannot_reach() -> None:
    """As in /root: the cluster lies apart, and the data folder stays as private as it was."""
    root = Path(tempfile.mkdtemp(prefix="engage-server-"))
    try:
        cluster = works(root / "data")
        assert root not in cluster.home.parents
        assert root.stat().st_mode & 0o077 == 0
    finally:
        remove(root / "data", root)


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests are those of an ordinary user")
def test_an_ordinary_user_runs_the_server_under_their_own_account() -> None:
    nobody = 65534
    root = Path(tempfile.mkdtemp(prefix="engage-server-"))
    os.chown(root, nobody, nobody)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, str(root / "data"), repr(sys.path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={"HOME": str(root), "PATH": os.environ["PATH"]},
        )
        assert ended.stdout.split() == ["nobody", "False", "True"], ended.stderr
    finally:
        shutil.rmtree(root)
