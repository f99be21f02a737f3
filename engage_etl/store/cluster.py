"""The files of the embedded server: cluster, sockets, configuration."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from engage_etl.errors import DataFolderUnusable, StoreUnavailable
from engage_etl.store.programs import PRIVATE_ROOT, SERVER_VERSION, locate_programs, make_private_root
from engage_etl.store.server_account import ServerAccount, own_name

ROLE = "engage"
"""Role that owns the embedded cluster."""

SOCKET_NAME = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 100
_SHORT_FOLDER = Path("/tmp")
"""Not $TMPDIR: a scheduled process and a terminal may differ in it, and have to find the same server."""

_INCLUDE = "include 'engage.conf'"
_CONFIGURE = """
umask 077
cd "$0" && cat > engage.conf.new && mv engage.conf.new engage.conf || exit 1
grep -qxF "$2" postgresql.conf || printf '\\n%s\\n%s\\n' "$1" "$2" >> postgresql.conf
"""
_NOTE = (
    "# Written by Engage ETL at every start of the server, from the machine's memory; changes made here are lost.\n"
    "# Settings of your own win: ALTER SYSTEM SET name = value, or a line after the include in postgresql.conf.\n"
)


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


def create_cluster(cluster: Cluster, *, fsync: bool = True) -> None:
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
    aside.rename(cluster.folder)


def demand_version(cluster: Cluster) -> None:
    """Refuse a cluster of another major version of PostgreSQL than the program brings: neither could read the other's.

    Raises:
        StoreUnavailable: the sentence says how the data comes over.
    """
    try:
        found = (cluster.folder / "PG_VERSION").read_text().strip()
    except OSError:
        return  # PostgreSQL says better what such a folder lacks
    if found != str(SERVER_VERSION):
        raise StoreUnavailable(
            f"The database in {cluster.home} was made by PostgreSQL {found}, and this program brings {SERVER_VERSION}. "
            "Nothing was changed. Install the version of Engage ETL that made it, run `engage-etl db backup FOLDER`, move "
            f"{cluster.home} aside, install this version again, and run `engage-etl db restore FOLDER`; "
            'see "Upgrade of PostgreSQL" in docs/operations.md.'
        )


def configure_cluster(cluster: Cluster, settings: dict[str, str]) -> None:
    """Write the settings of the server, which it reads when it starts; anew each time, as memory and program may change.

    They are included at the end of ``postgresql.conf``. What people set comes later and wins: ``ALTER SYSTEM``, or a line
    after the include. A cluster of an older version gets the include too.

    Raises:
        DataFolderUnusable: they cannot be written.
    """
    lines = "".join(f"{name} = '{value}'\n" for name, value in settings.items())
    # The shell writes under the server's account: root would follow a link that the account laid there.
    written = subprocess.run(
        ["/bin/sh", "-c", _CONFIGURE, str(cluster.folder), "# Set by Engage ETL; a line below this wins.", _INCLUDE],
        input=_NOTE + lines,
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        env=_environment(),
        **cluster.account.process_options(),
    )
    if written.returncode != 0:
        raise DataFolderUnusable(f"The settings in {cluster.folder} cannot be written ({written.stderr.strip()}).")


def make_data_folder(folder: Path) -> None:
    """Make a data folder that only its owner may look into; one that exists is never changed.

    One of root's can be passed through: its server runs under another account, and has its own folder in there.
    """
    missing = [part for part in (folder, *folder.parents) if not part.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for part in missing:
        part.chmod(0o711 if os.geteuid() == 0 else 0o700)


def _make_writable(folder: Path) -> None:
    try:
        make_data_folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise DataFolderUnusable(
            f"The data folder {folder} cannot be written ({error.strerror}); "
            "make it writable, or name another one in ENGAGE_DATA_DIR."
        ) from None


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}
