"""PostgreSQL 15 and PgBouncer as Debian has them, started for tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from engage_etl.store.server_account import ServerAccount
from engage_etl_tests.waiting import wait_for

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
PGBOUNCER = Path("/usr/sbin/pgbouncer")
ADMINISTRATOR = "administrator"
"""Superuser of the servers."""

PASSWORD = "n0t/secret"
_HBA = """\
local all all trust
local replication all trust
hostssl all all 127.0.0.1/32 scram-sha-256
hostssl all all ::1/128 scram-sha-256
hostnossl all importer 127.0.0.1/32 scram-sha-256
"""
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "password_encryption": "scram-sha-256",
    "shared_buffers": "128MB",
    "max_connections": "100",
    "fsync": "off",
    "log_connections": "on",
    "client_connection_check_interval": "1s",
}


def demand(program: Path, package: str) -> None:
    """Skip a test where a program of Debian lacks; under CI it must not."""
    if not program.exists():
        reason = f"needs Debian's package {package}"
        pytest.fail(reason) if "CI" in os.environ else pytest.skip(reason)


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@dataclass(frozen=True)
class Server:
    """A PostgreSQL 15. folder: of its cluster, socket and log; port: on the loopback address, and of its socket."""

    folder: Path
    port: int
    account: ServerAccount

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / "log"

    def url(self, user: str = ADMINISTRATOR, database: str = "postgres") -> str:
        """Its address by the socket, where nobody is asked for a password."""
        return f"postgresql://{user}@/{database}?host={self.folder}&port={self.port}"

    def network_url(self, user: str, database: str, host: str = "127.0.0.1") -> str:
        """Its address over the network."""
        return f"postgresql://{user}:{PASSWORD.replace('/', '%2F')}@{host}:{self.port}/{database}"

    def run(self, program: str, *arguments: object) -> None:
        """Run one of PostgreSQL's programs under the account of the server."""
        command = [str(PROGRAMS / program), *map(str, arguments)]
        ended = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd="/", **self.account.process_options()
        )
        assert ended.returncode == 0, ended.stderr

    def start(self) -> None:
        """Start it; it answers afterwards."""
        self.run("pg_ctl", "start", "-D", self.folder / "cluster", "-w", "-s", "-l", self.log)

    def stop(self, how: str = "fast") -> None:
        """Stop it."""
        self.run("pg_ctl", "stop", "-D", self.folder / "cluster", "-m", how, "-w", "-s")

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """As its superuser."""
        return psycopg.connect(self.url(database=database), autocommit=True)


@contextmanager
def folder_of_account(account: ServerAccount, name: str) -> Iterator[Path]:
    """A short path to a folder that belongs to the account of a server."""
    folder = Path(tempfile.mkdtemp(prefix=f"engage-{name}-", dir="/tmp"))
    if account.is_other:
        os.chown(folder, account.uid, account.gid)
    # Whoever runs the tests reaches the socket in it.
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def debian_server(name: str, settings: Mapping[str, str], files: Mapping[str, bytes]) -> Iterator[Server]:
    """Start a server of its own. settings: besides ours; files: to lie in its cluster, by name."""
    demand(PROGRAMS / "postgres", "postgresql-15")
    account = ServerAccount.choose()
    with folder_of_account(account, name) as folder:
        server = Server(folder, free_port(), account)
        cluster = folder / "cluster"
        server.run(
            "initdb", "-D", cluster, "-U", ADMINISTRATOR, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "-A", "trust"
        )
        (cluster / "pg_hba.conf").write_text(_HBA)
        for file, content in files.items():
            (cluster / file).write_bytes(content)
            (cluster / file).chmod(0o600)
            if account.is_other:
                os.chown(cluster / file, account.uid, account.gid)
        given = _SETTINGS | {"port": str(server.port), "unix_socket_directories": str(folder)} | settings
        with (cluster / "postgresql.conf").open("a") as configuration:
            configuration.writelines(f"{key} = '{value}'\n" for key, value in given.items())
        server.start()
        try:
            yield server
        finally:
            if (cluster / "postmaster.pid").exists():
                server.stop("immediate")


@dataclass(frozen=True)
class Pooler:
    """A PgBouncer in front of a server. log: what it says."""

    port: int
    log: Path

    def url(self, user: str, database: str) -> str:
        """The address of a database by way of it."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"


@contextmanager
def pgbouncer(server: Server, users: list[str], **settings: str) -> Iterator[Pooler]:
    """Start a PgBouncer in transaction mode; settings: otherwise, or besides."""
    demand(PGBOUNCER, "pgbouncer")
    with folder_of_account(server.account, "pooler") as folder:
        pooler = Pooler(free_port(), folder / "log")
        given = {
            "listen_addr": "127.0.0.1", "listen_port": str(pooler.port), "unix_socket_dir": "", "logfile": str(pooler.log),
            "auth_type": "trust", "auth_file": str(folder / "users"), "pool_mode": "transaction", "default_pool_size": "4",
            "max_client_conn": "200",
        }  # fmt: skip
        lines = [f"{name} = {value}\n" for name, value in (given | settings).items()]
        (folder / "users").write_text("".join(f'"{user}" ""\n' for user in users))
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(
            f"[databases]\n* = host={server.folder} port={server.port}\n[pgbouncer]\n{''.join(lines)}"
        )
        with subprocess.Popen(
            [str(PGBOUNCER), "-q", str(configuration)], cwd="/", **server.account.process_options()
        ) as process:
            try:
                wait_for("PgBouncer to listen", lambda: _listens(pooler.port))
                yield pooler
            finally:
                process.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as trying:
        return trying.connect_ex(("127.0.0.1", port)) == 0
