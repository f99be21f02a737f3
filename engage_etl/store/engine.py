"""Open the store: start or find its server, check its version and its schema."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg
from sqlalchemy import URL, Engine, create_engine, func, literal, select, text
from sqlalchemy.exc import OperationalError, ProgrammingError, SQLAlchemyError

from engage_etl.errors import DiskFull, SchemaMismatch, ServerTooOld, StoreError, StoreUnavailable, UsageError
from engage_etl.settings import Settings
from engage_etl.stage_storage.kept_files import KeptFiles, import_dir, open_kept_files, report_dir
from engage_etl.store.addresses import external_url, facts_for_libpq, place
from engage_etl.store.cluster import ROLE
from engage_etl.store.embedded import EmbeddedServer
from engage_etl.store.encryption import how_encrypted
from engage_etl.store.outages import is_connection_lost, is_disk_full, is_unverified
from engage_etl.store.partitions import MONTHS_NEEDED, make_partitions
from engage_etl.store.readers import building_role
from engage_etl.store.roles import lacking_statements, role_of_user
from engage_etl.store.schema import current_revision, head_revision, known_revisions, upgrade
from engage_etl.store.server_check import Difference, find_differences
from engage_etl.store.sessions import TimeLimits, is_session_of_its_own, make_engine, share_locks
from engage_etl.store.tuning import SMALLEST_SERVER, usable_memory

OLDEST_SERVER = 15
"""Major version of PostgreSQL from which on the store works."""

DATABASE = "engage"

_ADDRESS = "ENGAGE_DATABASE_URL"
_POOLED = (
    "{} leads to a pooler, as PgBouncer is, and locks of imports would be lost between transactions; name the server itself "
    "in ENGAGE_DIRECT_URL (docs/operations.md)."
)
_REFUSED_BY_POOLER = "unsupported startup parameter"


@dataclass(frozen=True)
class Store:
    """An open store.

    engine: connections to its database; settings: of the installation; direct: connections past a pooler, where there is
    one; kept: files of its imports.
    """

    engine: Engine
    settings: Settings
    direct: Engine | None = None
    kept: KeptFiles = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kept", open_kept_files(self.settings))

    @property
    def locks(self) -> Engine:
        """Connections whose locks outlive a transaction."""
        return self.direct or self.engine

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.dispose()

    def answers(self) -> bool:
        """Whether the server still answers."""
        try:
            with self.engine.connect() as connection:
                return bool(connection.scalar(select(literal(True))))
        except OperationalError:
            return False

    def dispose(self) -> None:
        """Close all connections, and take away copies of kept files; the server goes on."""
        for engine in (self.engine, self.locks):
            engine.dispose()
        self.kept.close()

    def import_dir(self, import_id: str) -> Path:
        """Where this machine finds the bytes and the stage files of an import."""
        return import_dir(self.kept, import_id)

    def report_dir(self, import_id: str) -> Path:
        """Where this machine finds the report of an import (R39)."""
        return report_dir(self.kept, import_id)


def open_store(settings: Settings, limits: TimeLimits | None = None) -> Store:
    """Open the store of an installation; the embedded one is started and upgraded if need be.

    limits: of its statements; None: those of bulk work.

    Raises:
        DataFolderUnusable: the data folder cannot be written.
        StoreUnavailable: the server does not start or does not answer, or the user may not use the store.
        ServerTooOld: it is older than PostgreSQL 15.
        SchemaMismatch: an external store is not upgraded, or a store is newer than the program.
    """
    engine = connect_engine(settings, limits)
    is_pooled = settings.direct_url is not None and settings.database_url is not None
    store = Store(engine, settings, connect_directly(settings) if is_pooled else None)
    try:
        _check_version(engine)
        _check_locks(store)
        _check_schema(engine, settings)
        with engine.begin() as connection:
            make_partitions(connection, MONTHS_NEEDED)
    except ProgrammingError as error:
        store.dispose()
        raise _refused(engine.url, error) from None
    except BaseException:
        store.dispose()
        raise
    return store


@dataclass(frozen=True)
class Upgraded:
    """What an upgrade did. revision: of the schema; lacking: statements that an administrator of the server has to run."""

    revision: str
    lacking: list[str]


def upgrade_store(settings: Settings) -> Upgraded:
    """Bring the schema of the store to the newest revision, and give the roles their rights.

    Raises:
        StoreError: as ``open_store``.
    """
    engine = _owning_engine(settings)
    try:
        _check_version(engine)
        _demand_session(engine)
        upgrade(engine)
        with engine.connect() as connection:
            return Upgraded(head_revision(), lacking_statements(connection))
    except ProgrammingError as error:
        raise _refused(engine.url, error) from None
    finally:
        engine.dispose()


def store_status(settings: Settings) -> dict[str, str]:
    """Where the store is, its server's version, its schema's revision and this program's; of an external one also how the
    connection is encrypted, and what its user may do.

    Raises:
        StoreUnavailable: the server does not answer.
    """
    engine = connect_engine(settings)
    try:
        _check_version(engine)
        found = {
            "store": "embedded" if settings.database_url is None else "external",
            "at": place(engine.url),
            "server": f"PostgreSQL {server_version(engine)}",
            "schema": current_revision(engine) or "none",
            "program": head_revision(),
        }
        if settings.database_url is not None:
            with engine.connect() as connection:
                found |= {"encryption": how_encrypted(connection), "user": role_of_user(connection)}
        return found
    except ProgrammingError as error:
        raise _refused(engine.url, error) from None
    finally:
        engine.dispose()


def server_differences(settings: Settings, memory: int | None = None) -> list[Difference]:
    """Where the running server is set otherwise than is recommended for its machine.

    memory: bytes that the machine of the server has; that of the embedded one is known, and an external one is held to a
    small machine unless it is given.

    Raises:
        StoreUnavailable: the server does not answer.
    """
    is_embedded = settings.database_url is None
    memory = memory or (usable_memory() if is_embedded else SMALLEST_SERVER)
    engine = connect_engine(settings)
    try:
        with engine.connect() as connection:
            return find_differences(connection, memory, is_embedded=is_embedded)
    except OperationalError as error:
        raise _unavailable(engine.url, error) from None
    finally:
        engine.dispose()


def connect_engine(settings: Settings, limits: TimeLimits | None = None) -> Engine:
    """An engine on the store's database, whatever its schema; limits: as of ``open_store``."""
    is_pooled = settings.database_url is not None and settings.direct_url is not None
    limits = limits or TimeLimits.of_bulk_work(settings)
    return make_engine(store_url(settings), settings, limits, is_pooled=is_pooled)


def engine_on(settings: Settings, database: str) -> Engine:
    """An engine on a database of the embedded server, created if it lacks."""
    url = _embedded_url(settings, database)
    return make_engine(url, settings, TimeLimits.of_bulk_work(settings), is_pooled=False)


def connect_directly(settings: Settings) -> Engine:
    """An engine whose connections are sessions of the server, past any pooler."""
    return make_engine(direct_url(settings), settings, TimeLimits.of_bulk_work(settings), is_pooled=False)


def _owning_engine(settings: Settings) -> Engine:
    """An engine for whoever owns the store."""
    if settings.database_url is None or settings.migration_url is None:
        return connect_directly(settings)
    url = external_url(settings.migration_url, "ENGAGE_MIGRATION_URL")
    return make_engine(url, settings, TimeLimits.of_bulk_work(settings), is_pooled=False)


def store_url(settings: Settings) -> URL:
    """The address of the store's database; starts the embedded server.

    Raises:
        UsageError: ``ENGAGE_DATABASE_URL`` cannot be read as an address.
    """
    if settings.database_url is None:
        return _embedded_url(settings, DATABASE)
    return external_url(settings.database_url, _ADDRESS)


def direct_url(settings: Settings) -> URL:
    """The address of the store's database past any pooler.

    Raises:
        UsageError: ``ENGAGE_DIRECT_URL`` cannot be read as an address.
    """
    if settings.database_url is None or settings.direct_url is None:
        return store_url(settings)
    return external_url(settings.direct_url, "ENGAGE_DIRECT_URL")


def dagster_database_url(settings: Settings) -> str:
    """The address of Dagster's database on the same server, created if it lacks, in the form that dagster-postgres needs.

    Since SQLAlchemy 2.1 plain ``postgresql://`` means psycopg 3, on which dagster-postgres fails.
    """
    if settings.database_url is None:
        url = _embedded_url(settings, settings.dagster_database)
    else:
        url = store_url(settings).set(database=settings.dagster_database)
        _create_database(direct_url(settings), settings.dagster_database, settings)
    return url.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)


def connection_facts(settings: Settings) -> dict[str, str]:
    """What psql needs to reach the store, as ``PG...`` environment variables.

    Raises:
        StoreUnavailable: none of several hosts answers.
    """
    url = direct_url(settings)
    try:
        return facts_for_libpq(url, settings.connect_timeout)
    except psycopg.OperationalError as error:
        raise _unavailable(url, error) from None


def building_facts(settings: Settings) -> dict[str, str]:
    """What dbt needs to build the marts: what psql needs, and the role to take on.

    Raises:
        StoreUnavailable: the server does not answer.
    """
    engine = connect_directly(settings)
    try:
        return connection_facts(settings) | {"ENGAGE_DBT_ROLE": building_role(engine)}
    except OperationalError as error:
        raise _unavailable(engine.url, error) from None
    finally:
        engine.dispose()


def embedded_server(settings: Settings) -> EmbeddedServer:
    """The embedded server of an installation.

    Raises:
        UsageError: the installation uses an external one.
    """
    if settings.database_url is not None:
        raise UsageError("This installation uses the server in ENGAGE_DATABASE_URL; there is no embedded one.")
    return EmbeddedServer(settings.root, settings.server_start_timeout)


def _embedded_url(settings: Settings, database: str) -> URL:
    cluster = embedded_server(settings).ensure_running()
    server = URL.create("postgresql+psycopg", username=ROLE, database="postgres", query={"host": str(cluster.sockets)})
    _create_database(server, database, settings)
    return server.set(database=database)


def _create_database(url: URL, name: str, settings: Settings) -> None:
    """Create a database if it lacks; another process may be doing the same."""
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        connect_args={"connect_timeout": settings.connect_timeout},
        hide_parameters=True,
    )
    try:
        with engine.connect() as connection:
            if connection.scalar(text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name}):
                return
            quoted = psycopg.sql.Identifier(name)
            driver_connection: Any = connection.connection.driver_connection
            driver_connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(quoted))
    except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
        return
    except psycopg.errors.InsufficientPrivilege:
        raise StoreUnavailable(
            f"The database {name!r} is missing on the server and may not be created by this user; create it for them."
        ) from None
    except OperationalError as error:
        raise _unavailable(url, error) from None
    finally:
        engine.dispose()


def _check_version(engine: Engine) -> None:
    try:
        version = server_version(engine)
    except OperationalError as error:
        raise _unavailable(engine.url, error) from None
    if version < OLDEST_SERVER:
        raise ServerTooOld(
            f"The server at {place(engine.url)} is PostgreSQL {version}; Engage ETL needs {OLDEST_SERVER} or later."
        )


def server_version(engine: Engine) -> int:
    """Major version of the server."""
    with engine.connect() as connection:
        return int(connection.scalar(text("SHOW server_version_num"))) // 10_000


def _check_locks(store: Store) -> None:
    """Locks of imports outlive transactions, and are seen by whoever works on the store."""
    settings = store.settings
    if settings.database_url is None:
        return
    if store.direct is None:
        _demand_session(store.engine)
        return
    _check_version(store.direct)
    _demand_session(store.direct)
    with store.direct.connect() as direct, store.engine.connect() as pooled:
        if not share_locks(direct, pooled):
            raise StoreUnavailable(
                f"ENGAGE_DIRECT_URL leads to {place(store.direct.url)}, which is another database than that behind "
                f"ENGAGE_DATABASE_URL, {place(store.engine.url)}; name the same one in both."
            )


def _demand_session(engine: Engine) -> None:
    with engine.connect() as connection:
        if not is_session_of_its_own(connection):
            raise StoreUnavailable(_POOLED.format(place(engine.url)))
        if connection.scalar(select(func.pg_is_in_recovery())):
            raise StoreUnavailable(
                f"The server at {place(engine.url)} is a standby, which can only be read; name all hosts in the address, with "
                "target_session_attrs=read-write (docs/operations.md).",
                is_passing=True,
            )


def _check_schema(engine: Engine, settings: Settings) -> None:
    revision = current_revision(engine)
    if revision == head_revision():
        return
    if revision is not None and revision not in known_revisions():
        raise SchemaMismatch(
            f"The store at {place(engine.url)} has schema {revision}, which is newer than this program's "
            f"{head_revision()}; update Engage ETL."
        )
    if settings.database_url is not None:
        raise SchemaMismatch(
            f"The store at {place(engine.url)} has schema {revision or 'none'}, and this program needs "
            f"{head_revision()}; run `engage-etl db upgrade`."
        )
    upgrade(engine)


def _unavailable(url: URL, error: SQLAlchemyError | psycopg.Error) -> StoreError:
    reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
    if url.password is not None:
        reason = reason.replace(str(url.password), "***")
    if is_disk_full(error):
        return DiskFull(f"The disk of the server at {place(url)} is full ({reason}); make room, then try again.")
    if _REFUSED_BY_POOLER in reason:
        return StoreUnavailable(_POOLED.format(place(url)))
    if is_unverified(error):
        return StoreUnavailable(
            f"The server at {place(url)} is not proven to be the right one ({reason}); name the certificate of its authority "
            "in sslrootcert=, and the host as its certificate does (docs/security.md)."
        )
    return StoreUnavailable(
        f"The store at {place(url)} does not answer ({reason}); check ENGAGE_DATABASE_URL and the server.",
        is_passing=is_connection_lost(error),
    )


def _refused(url: URL, error: ProgrammingError) -> Exception:
    """The sentence for rights that lack; any other error is a fault of ours and stays as it is."""
    if not isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
        return error
    reason = str(error.orig).strip().splitlines()[0]
    return StoreUnavailable(
        f"The user {url.username!r} lacks rights on the store at {place(url)} ({reason}); "
        "grant them (GRANT engage_app TO the user), or run `engage-etl db upgrade` as the owner of the database."
    )
