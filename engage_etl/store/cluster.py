"""The files of the embedded server: cluster, sockets, configuration."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psutil

from engage_etl.errors import DataFolderUnusable, StoreUnavailable
from engage_etl.store.programs import PRIVATE_ROOT, locate_programs, make_private_root
from engage_etl.store.server_account import ServerAccount, own_name

ROLE = "engage"
"""Role that owns the embedded cluster."""

SOCKET_NAME = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 100
_SHORT_FOLDER = Path("/tmp")
"""Not $TMPDIR: a scheduled process and a terminal may differ in it, and have to find the same server."""

_MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
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
        DataFolderUnusable: the data folder cannot be created or written, or its database is another user's.
    """
    _make_writable(data_folder)
    # The server knows its folder by one name, by whatever link or relative path it is reached.
    data_folder = data_folder.resolve()
    digest = hashlib.sha256(os.fsencode(data_folder)).hexdigest()[:16]
    home = _home(data_folder, digest)
    account = ServerAccount.choose(home)
    account.make_private_folder(home)
    account.demand_own(home)
    sockets = home / "run"
    if len(os.fsencode(sockets / SOCKET_NAME)) > _LONGEST_SOCKET_PATH:
        sockets = _SHORT_FOLDER / f"engage-etl-{account.uid}-{digest}"
    account.make_private_folder(sockets)
    account.demand_private(sockets)
    return Cluster(home, sockets, locate_programs(account), account)


def _home(data_folder: Path, digest: str) -> Path:
    """Inside the data folder, or apart where root's server could not reach it; where it is already, it stays."""
    inside, apart = data_folder / "postgres", PRIVATE_ROOT / digest
    for home in (inside, apart):
        if _is_there(home):
            return home
    account = ServerAccount.choose()
    if account.is_other and not account.can_reach(data_folder):
        make_private_root(account)
        return apart
    return inside


def _is_there(folder: Path) -> bool:
    try:
        return folder.exists() or folder.is_symlink()
    except PermissionError:
        return False


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
    # Root may look at everybody's database anyway, and has to be able to start it for them.
    users = sorted({own_name(), cluster.account.name, "root"})
    (aside / "pg_ident.conf").write_text("".join(f'{ROLE} "{user}" {ROLE}\n' for user in users))
    (aside / "pg_hba.conf").write_text(f"local all all peer map={ROLE}\n")
    with (aside / "postgresql.conf").open("a") as file:
        file.write("\n# Set by Engage ETL when the cluster was created, from the machine's memory.\n")
        file.writelines(f"{name} = '{value}'\n" for name, value in _configuration(shared_buffers, fsync).items())
    aside.rename(cluster.folder)


def _configuration(shared_buffers: str | None, fsync: bool) -> dict[str, str]:
    memory = usable_memory() // _MIB
    buffers = shared_buffers or f"{max(128, min(memory // 8, 4096))}MB"
    settings = {
        "listen_addresses": "",
        "max_connections": "200",
        "shared_buffers": buffers,
        "effective_cache_size": f"{max(256, memory // 2)}MB",
        "work_mem": f"{max(8, min(memory // 256, 128))}MB",
        "maintenance_work_mem": f"{max(64, min(memory // 16, 1024))}MB",
        "max_wal_size": "8GB" if shared_buffers is None else "1GB",
        "min_wal_size": "1GB" if shared_buffers is None else "80MB",
        "checkpoint_timeout": "15min",
        "wal_compression": "pglz",
        "jit": "off",
        # The transaction of a process that was killed ends within a second, not with its statement.
        "client_connection_check_interval": "1s",
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


def usable_memory() -> int:
    """Bytes of memory that we may use: those of the machine, or of the container."""
    limits = [path.read_text().strip() for path in _MEMORY_LIMITS if path.exists()]
    return min([psutil.virtual_memory().total, *(int(limit) for limit in limits if limit.isdecimal())])


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}
