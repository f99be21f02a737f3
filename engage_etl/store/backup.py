"""Backups of the embedded store: dumps of both databases, and what must be there when they are restored (decision 0021)."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import Connection, Engine, Select, column, func, select, table

from engage_etl.errors import StoreUnavailable, UsageError
from engage_etl.own_files import sync_folder
from engage_etl.settings import Settings
from engage_etl.store.catalogue import namespaces, relations
from engage_etl.store.cluster import ROLE, Cluster
from engage_etl.store.engine import DATABASE, connect_engine, embedded_server, engine_on, server_version
from engage_etl.store.schema import current_revision
from engage_etl.store.tables import LOADING, SCHEMA

FACTS = "backup.json"
"""The file that is written last: a folder without it is no backup."""

FORMAT = 1
STORE_DUMP, DAGSTER_DUMP = "store.dump", "dagster.dump"
DAGSTER_SCHEMA = "public"

_EXTERNAL = (
    "This installation uses the server in ENGAGE_DATABASE_URL, which is backed up with its own means: pg_dump and "
    "pg_restore of the databases of store and Dagster, as docs/operations.md shows."
)

_NOT_DUMPED = f"--exclude-table={LOADING}.import_*"
"""Rows of imports on their way: their tables come and go, and one that went while pg_dump begins would make it fail."""

_roles = table("pg_roles", column("oid"), column("rolname"), schema="pg_catalog")
_members = table("pg_auth_members", column("roleid"), column("member"), schema="pg_catalog")


class Dump(BaseModel):
    """The dump of one database. rows: by table, those of partitioned tables as one."""

    model_config = ConfigDict(frozen=True)

    file: str
    bytes: int
    sha256: str
    rows: dict[str, int]


class Backup(BaseModel):
    """What a backup holds.

    schema_revision: of the store; server: major version of PostgreSQL; roles, members: that rights in it name, and pairs of
    a role and its member; the server's own user is not among them.
    """

    model_config = ConfigDict(frozen=True)

    format: int
    made_at: datetime
    schema_revision: str
    server: int
    roles: list[str]
    members: list[tuple[str, str]]
    store: Dump
    dagster: Dump


def demand_embedded(settings: Settings) -> None:
    """Refuse an installation on a server of its own.

    Raises:
        UsageError: the sentence says what to do there.
    """
    if settings.database_url is not None:
        raise UsageError(_EXTERNAL)


def back_up(settings: Settings, folder: Path) -> Backup:
    """Write a backup of both databases into a new folder, while imports go on; it has the folder's name when it is whole.

    Dagster's database is dumped first: what the store knows and Dagster does not is made good by the next run, as after a
    crash between the two. Each dump is one snapshot, and is written by pg_dump as it reads.

    Raises:
        UsageError: the server is external, the folder is there already, or there is no store yet.
        StoreError: the server does not answer, or the dump cannot be written.
    """
    demand_embedded(settings)
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder} is there already; name a folder that is not.")
    cluster = embedded_server(settings).ensure_running()
    engine, beside = connect_engine(settings), engine_on(settings, settings.dagster_database)
    try:
        revision = current_revision(engine)
        if revision is None:
            raise UsageError("There is no store yet, so that there is nothing to back up.")
        with _written_aside(folder) as aside:
            dagster = _dump(beside, cluster, aside / DAGSTER_DUMP, settings.dagster_database, DAGSTER_SCHEMA)
            store = _dump(engine, cluster, aside / STORE_DUMP, DATABASE, SCHEMA)
            with engine.connect() as connection:
                roles, members = _read_roles(connection)
            made = Backup(
                format=FORMAT, made_at=datetime.now(UTC), schema_revision=revision, server=server_version(engine),
                roles=roles, members=members, store=store, dagster=dagster,
            )  # fmt: skip
            _write_privately(aside / FACTS, made.model_dump_json(indent=2) + "\n")
    finally:
        engine.dispose()
        beside.dispose()
    return made


def read_backup(folder: Path) -> Backup:
    """What a folder holds, after its files were compared with what was written.

    Raises:
        UsageError: it is no backup, or was not finished, or its files are not as they were.
    """
    try:
        made = Backup.model_validate_json((folder / FACTS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{folder} is no backup, or one that was not finished: it has no file {FACTS}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{folder / FACTS} cannot be read ({error}).") from None
    except ValidationError:
        raise UsageError(f"{folder} is no backup that this program can read: {FACTS} is of another form.") from None
    for dump in (made.dagster, made.store):
        file = folder / dump.file
        if not file.is_file() or file.stat().st_size != dump.bytes or _digest(file) != dump.sha256:
            raise UsageError(
                f"The backup in {folder} is damaged: {dump.file} is not as it was written; take another one."
            )
    return made


def count_rows(connection: Connection, schema: str) -> dict[str, int]:
    """The rows of all tables of a schema, by name."""
    is_table = relations.c.relkind.in_(("r", "p")) & ~relations.c.relispartition
    query: Select[str] = (
        select(relations.c.relname)
        .join(namespaces, namespaces.c.oid == relations.c.relnamespace)
        .where(namespaces.c.nspname == schema, is_table)
        .order_by(relations.c.relname)
    )
    return {
        name: connection.scalar(select(func.count()).select_from(table(name, schema=schema))) or 0
        for name in connection.scalars(query).all()
    }


def run_program(cluster: Cluster, program: str, *arguments: str, output: int | None = None) -> None:
    """Run one of PostgreSQL's programs on the server, under our own account. output: descriptor that it writes to.

    Raises:
        StoreUnavailable: it failed; the sentence has what it said last.
    """
    ended = subprocess.run(
        [str(cluster.binaries / program), *arguments],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=output if output is not None else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={"LC_ALL": "C", "PGHOST": str(cluster.sockets), "PGUSER": ROLE, "PGTZ": "UTC"},
    )
    if ended.returncode != 0:
        said = (ended.stderr.strip().splitlines() or ["it says nothing about why"])[-1]
        raise StoreUnavailable(f"{said}. Nothing was finished; put that right, then run the command again.")


def _dump(engine: Engine, cluster: Cluster, file: Path, database: str, schema: str) -> Dump:
    """Dump a database as it is in one snapshot, in which its rows are counted too."""
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        # The snapshot lives as long as this transaction, which does nothing while pg_dump works, for hours where need be.
        connection.execute(select(func.set_config("idle_in_transaction_session_timeout", "0", True)))
        snapshot = connection.scalar(select(func.pg_export_snapshot()))
        rows = count_rows(connection, schema)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            run_program(
                cluster,
                "pg_dump",
                "--format=custom",
                f"--snapshot={snapshot}",
                _NOT_DUMPED,
                database,
                output=descriptor,
            )
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return Dump(file=file.name, bytes=file.stat().st_size, sha256=_digest(file), rows=rows)


def _read_roles(connection: Connection) -> tuple[list[str], list[tuple[str, str]]]:
    """The roles that people and migrations have made, and who is a member of which."""
    is_made = _roles.c.rolname.not_like("pg\\_%") & (_roles.c.rolname != ROLE)
    made: Select[str] = select(_roles.c.rolname).where(is_made).order_by(_roles.c.rolname)
    names = list(connection.scalars(made))
    role, member = _roles.alias("role"), _roles.alias("member")
    pairs = (
        select(role.c.rolname, member.c.rolname)
        .select_from(_members)
        .join(role, role.c.oid == _members.c.roleid)
        .join(member, member.c.oid == _members.c.member)
        .where(role.c.rolname.in_(names))
        .order_by(role.c.rolname, member.c.rolname)
    )
    return names, [(one, other) for one, other in connection.execute(pairs).tuples()]


@contextmanager
def _written_aside(folder: Path) -> Iterator[Path]:
    """A new folder beside the one to write, for its owner only, which gets its name once everything is on the disk."""
    try:
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", suffix=".part", dir=folder.absolute().parent))
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror}); name another place.") from None
    try:
        yield aside
        sync_folder(aside)
        aside.rename(folder)
        sync_folder(folder.absolute().parent)
    except OSError as error:
        raise StoreUnavailable(f"The backup in {folder} could not be written ({error.strerror}).") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write_privately(file: Path, content: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as writing:
        writing.write(content)
        writing.flush()
        os.fsync(descriptor)


def _digest(file: Path) -> str:
    with file.open("rb") as reading:
        return hashlib.file_digest(reading, "sha256").hexdigest()
