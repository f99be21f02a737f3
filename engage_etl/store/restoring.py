"""Restoring a backup: into databases aside, which take the places of the former ones at once (decision 0021)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import delete, inspect, update

from engage_etl.errors import SchemaMismatch, StoreUnavailable, UsageError
from engage_etl.settings import Settings
from engage_etl.store.backup import (
    DAGSTER_SCHEMA,
    Backup,
    Dump,
    count_rows,
    demand_embedded,
    read_backup,
    run_program,
)
from engage_etl.store.cluster import ROLE, Cluster
from engage_etl.store.engine import DATABASE, embedded_server, engine_on, open_store
from engage_etl.store.schema import current_revision, head_revision, known_revisions
from engage_etl.store.tables import SCHEMA, import_register, store_write

_HOLDING_DATA = ("contact", "contact_group", "import_register")
"""Tables of which one row says that somebody uses the store."""

_RESTORING, _REPLACED = "_restoring", "_replaced"


def restore(settings: Settings, folder: Path, *, replace: bool) -> Backup:
    """Bring both databases to what a backup holds, and the schema to what this program works with; returns the backup.

    Everything is restored and counted before the former databases give way, both in one transaction: whatever breaks off
    before leaves them as they are. replace: also where the store holds data.

    Raises:
        UsageError: the server is external, the folder is no whole backup, others are connected, or the store holds data.
        SchemaMismatch: the backup is of a newer program.
        StoreUnavailable: the server does not answer, or what was restored is not what the backup says.
    """
    demand_embedded(settings)
    made = read_backup(folder)
    if made.schema_revision not in known_revisions():
        raise SchemaMismatch(
            f"The backup in {folder} has schema {made.schema_revision}, which is newer than this program's "
            f"{head_revision()}; update Engage ETL."
        )
    cluster = embedded_server(settings).ensure_running()
    places = {DATABASE: made.store, settings.dagster_database: made.dagster}
    if not replace:
        _demand_empty(settings)
    with _administering(cluster) as server:
        _demand_unused(server, list(places))
        _make_roles(server, made)
        with _nothing_left_behind(server, list(places)):
            _restore_aside(cluster, server, folder, places)
            _verify(settings, DATABASE, SCHEMA, made.store, made.schema_revision)
            _verify(settings, settings.dagster_database, DAGSTER_SCHEMA, made.dagster)
            _forget_transactions(settings)
            _exchange(server, list(places))
    open_store(settings).dispose()
    return made


def _restore_aside(cluster: Cluster, server: psycopg.Connection, folder: Path, places: dict[str, Dump]) -> None:
    for name, dump in places.items():
        server.execute(_named("CREATE DATABASE {} TEMPLATE template0", name + _RESTORING))
        run_program(cluster, "pg_restore", "--exit-on-error", f"--dbname={name}{_RESTORING}", str(folder / dump.file))


@contextmanager
def _nothing_left_behind(server: psycopg.Connection, databases: list[str]) -> Iterator[None]:
    """Drop what is neither the store nor its predecessor, also what an earlier restore left that was killed."""
    _drop_remains(server, databases)
    try:
        yield
    finally:
        with suppress(psycopg.OperationalError):  # the server is gone; the next restore does it
            _drop_remains(server, databases)


def _demand_empty(settings: Settings) -> None:
    engine = engine_on(settings, DATABASE)
    try:
        if current_revision(engine) is None:
            return
        with engine.connect() as connection:
            rows = count_rows(connection, SCHEMA)
    finally:
        engine.dispose()
    held = [f"{rows[name]:,} in {name}" for name in _HOLDING_DATA if rows.get(name)]
    if held:
        raise UsageError(
            f"The store in {settings.root} holds data ({', '.join(held)}), and nothing was restored. Back it up if you "
            "need it, then add --replace; or name another data folder in ENGAGE_DATA_DIR."
        )


@contextmanager
def _administering(cluster: Cluster) -> Iterator[psycopg.Connection]:
    """A connection on which databases and roles are made; each statement is a transaction."""
    with psycopg.connect(host=str(cluster.sockets), user=ROLE, dbname="postgres", autocommit=True) as connection:
        yield connection


def _demand_unused(server: psycopg.Connection, databases: list[str]) -> None:
    found = server.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = ANY(%s) AND backend_type = 'client backend'", [databases]
    ).fetchone()
    if found is not None and found[0]:
        raise UsageError("Others use the store, and nothing was restored. End `engage-etl up` and imports first.")


def _make_roles(server: psycopg.Connection, made: Backup) -> None:
    """The roles that rights in the dumps name belong to the server as a whole, and are in no dump."""
    there = {str(name) for (name,) in server.execute("SELECT rolname FROM pg_roles")}
    for name in made.roles:
        if name not in there:
            server.execute(_named("CREATE ROLE {} NOLOGIN", name))
    for role, member in made.members:
        server.execute(_named("GRANT {} TO {}", role, member))


def _drop_remains(server: psycopg.Connection, databases: list[str]) -> None:
    for name in databases:
        for remains in (name + _RESTORING, name + _REPLACED):
            server.execute(_named("DROP DATABASE IF EXISTS {} WITH (FORCE)", remains))


def _verify(settings: Settings, name: str, schema: str, dump: Dump, revision: str | None = None) -> None:
    engine = engine_on(settings, name + _RESTORING)
    try:
        with engine.connect() as connection:
            rows = count_rows(connection, schema)
        found = current_revision(engine)
    finally:
        engine.dispose()
    differing = [table for table in dump.rows | rows if dump.rows.get(table) != rows.get(table)]
    if differing or (revision is not None and revision != found):
        raise StoreUnavailable(
            f"What was restored is not what the backup says ({', '.join(differing) or f'schema {found}'}); "
            "the store is as it was."
        )


def _forget_transactions(settings: Settings) -> None:
    """Numbers of transactions mean something else here: unapplied plans count as overtaken, and are made again (R31)."""
    engine = engine_on(settings, DATABASE + _RESTORING)
    try:
        with engine.begin() as connection:
            known = {found["name"] for found in inspect(connection).get_columns(import_register.name, schema=SCHEMA)}
            if import_register.c.plan_snapshot.name in known:
                connection.execute(update(import_register).values(plan_snapshot=None))
                connection.execute(delete(store_write))
    finally:
        engine.dispose()


def _exchange(server: psycopg.Connection, databases: list[str]) -> None:
    there = {str(name) for (name,) in server.execute("SELECT datname FROM pg_database")}
    try:
        with server.transaction():
            for name in databases:
                if name in there:
                    server.execute(_named("ALTER DATABASE {} RENAME TO {}", name, name + _REPLACED))
                server.execute(_named("ALTER DATABASE {} RENAME TO {}", name + _RESTORING, name))
    except psycopg.errors.ObjectInUse:
        raise UsageError(
            "Others have come to use the store meanwhile, and it is as it was. End `engage-etl up` and imports, then "
            "restore again."
        ) from None


def _named(statement: str, *names: str) -> sql.Composed:
    return sql.SQL(statement).format(*(sql.Identifier(name) for name in names))
