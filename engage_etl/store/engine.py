"""Open the store: start or find its server, check its version and its schema."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any

import psycopg
from sqlalchemy import URL, Engine, create_engine, literal, make_url, select, text
from sqlalchemy.exc import ArgumentError, OperationalError, ProgrammingError, SQLAlchemyError

from engage_etl.errors import DiskFull, SchemaMismatch, ServerTooOld, StoreError, StoreUnavailable, UsageError
from engage_etl.settings import Settings
from engage_etl.store.cluster import ROLE
from engage_etl.store.embedded import EmbeddedServer
from engage_etl.store.outages import is_connection_lost, is_disk_full
from engage_etl.store.partitions import MONTHS_NEEDED, make_partitions
from engage_etl.store.readers import building_role
from engage_etl.store.schema import current_revision, head_revision, known_revisions, upgrade
from engage_etl.store.server_check import Difference, find_differences
from engage_etl.store.tuning import SESSION, SMALLEST_SERVER, usable_memory

OLDEST_SERVER = 15
"""Major version of PostgreSQL from which on the store works."""

DATABASE = "engage"

# The role is called like the schema, and PostgreSQL would search that one first: no table is found by accident.
_SESSION = "-c timezone=UTC -c jit=off -c search_path=public"
_TLS = {"PGSSLMODE": "sslmode", "PGSSLROOTCERT": "sslrootcert", "PGSSLCERT": "sslcert", "PGSSLKEY": "sslkey"}


@dataclass(frozen=True)
class Store:
    """An open store. engine: connections to its database; settings: of the installation."""

    engine: Engine
    settings: Settings

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
        """Close all connections; the server goes on."""
        self.engine.dispose()


def open_store(settings: Settings) -> Store:
    """Open the store of an installation; the embedded one is started and upgraded if need be.

    Raises:
        DataFolderUnusable: the data folder cannot be written.
        StoreUnavailable: the server does not start or does not answer, or the user may not use the store.
        ServerTooOld: it is older than PostgreSQL 15.
        SchemaMismatch: an external store is not upgraded, or a store is newer than the program.
    """
    engine = connect_engine(settings)
    try:
        _check_version(engine)
        _check_schema(engine, settings)
        with engine.begin() as connection:
            make_partitions(connection, MONTHS_NEEDED)
    except ProgrammingError as error:
        engine.dispose()
        raise _refused(engine.url, error) from None
    except BaseException:
        engine.dispose()
        raise
    return Store(engine, settings)


def upgrade_store(settings: Settings) -> str:
    """Bring the schema of the store to the newest revision and return it.

    Raises:
        StoreError: as ``open_store``.
    """
    engine = connect_engine(settings)
    try:
        _check_version(engine)
        upgrade(engine)
    except ProgrammingError as error:
        raise _refused(engine.url, error) from None
    finally:
        engine.dispose()
    return head_revision()


def store_status(settings: Settings) -> dict[str, str]:
    """Where the store is, its server's version, its schema's revision and this program's.

    Raises:
        StoreUnavailable: the server does not answer.
    """
    engine = connect_engine(settings)
    try:
        _check_version(engine)
        return {
            "store": "embedded" if settings.database_url is None else "external",
            "at": _place(engine.url),
            "server": f"PostgreSQL {server_version(engine)}",
            "schema": current_revision(engine) or "none",
            "program": head_revision(),
        }
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


def connect_engine(settings: Settings) -> Engine:
    """An engine on the store's database, whatever its schema."""
    url = store_url(settings)
    tuned = " ".join(f"-c {advice.name}={advice.wanted(0)}" for advice in SESSION)
    return create_engine(
        url,
        # Parameters are personal data and do not belong into messages (R41).
        hide_parameters=True,
        pool_pre_ping=True,
        connect_args={
            # The address may say otherwise about memory, but not about what the program relies on.
            "options": f"{tuned} {url.query.get('options', '')} {_SESSION}",
            "application_name": "engage-etl",
            "connect_timeout": settings.connect_timeout,
        },
    )


def store_url(settings: Settings) -> URL:
    """The address of the store's database; starts the embedded server.

    Raises:
        UsageError: ``ENGAGE_DATABASE_URL`` cannot be read as an address.
    """
    if settings.database_url is None:
        return _embedded_url(settings, DATABASE)
    return _external_url(settings)


def dagster_database_url(settings: Settings) -> str:
    """The address of Dagster's database on the same server, created if it lacks, in the form that dagster-postgres needs.

    Since SQLAlchemy 2.1 plain ``postgresql://`` means psycopg 3, on which dagster-postgres fails.
    """
    if settings.database_url is None:
        url = _embedded_url(settings, settings.dagster_database)
    else:
        url = _external_url(settings).set(database=settings.dagster_database)
        _create_database(_external_url(settings), settings.dagster_database, settings)
    return url.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)


def connection_facts(settings: Settings) -> dict[str, str]:
    """What psql needs to reach the store, as ``PG...`` environment variables."""
    url = store_url(settings)
    host = url.host or url.query.get("host")
    facts = {"PGHOST": host, "PGPORT": url.port, "PGUSER": url.username, "PGPASSWORD": url.password}
    facts |= {"PGDATABASE": url.database} | {name: url.query.get(key) for name, key in _TLS.items()}
    return {name: str(value) for name, value in facts.items() if value is not None}


def building_facts(settings: Settings) -> dict[str, str]:
    """What dbt needs to build the marts: what psql needs, and the role to take on.

    Raises:
        StoreUnavailable: the server does not answer.
    """
    engine = connect_engine(settings)
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


def _external_url(settings: Settings) -> URL:
    try:
        url = make_url(settings.database_url or "")
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise UsageError(
            "ENGAGE_DATABASE_URL is no address; expected postgresql://user:password@host:port/database."
        ) from None
    if url.drivername.split("+")[0] not in ("postgresql", "postgres") or not url.database:
        raise UsageError(
            f"ENGAGE_DATABASE_URL names {url.drivername!r}; expected postgresql://user:password@host:port/database."
        )
    return url.set(drivername="postgresql+psycopg")


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
            f"The server at {_place(engine.url)} is PostgreSQL {version}; Engage ETL needs {OLDEST_SERVER} or later."
        )


def server_version(engine: Engine) -> int:
    """Major version of the server."""
    with engine.connect() as connection:
        return int(connection.scalar(text("SHOW server_version_num"))) // 10_000


def _check_schema(engine: Engine, settings: Settings) -> None:
    revision = current_revision(engine)
    if revision == head_revision():
        return
    if revision is not None and revision not in known_revisions():
        raise SchemaMismatch(
            f"The store at {_place(engine.url)} has schema {revision}, which is newer than this program's "
            f"{head_revision()}; update Engage ETL."
        )
    if settings.database_url is not None:
        raise SchemaMismatch(
            f"The store at {_place(engine.url)} has schema {revision or 'none'}, and this program needs "
            f"{head_revision()}; run `engage-etl db upgrade`."
        )
    upgrade(engine)


def _unavailable(url: URL, error: SQLAlchemyError) -> StoreError:
    reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
    if url.password is not None:
        reason = reason.replace(str(url.password), "***")
    if is_disk_full(error):
        return DiskFull(f"The disk of the server at {_place(url)} is full ({reason}); make room, then try again.")
    return StoreUnavailable(
        f"The store at {_place(url)} does not answer ({reason}); check ENGAGE_DATABASE_URL and the server.",
        is_passing=is_connection_lost(error),
    )


def _refused(url: URL, error: ProgrammingError) -> Exception:
    """The sentence for rights that lack; any other error is a fault of ours and stays as it is."""
    if not isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
        return error
    reason = str(error.orig).strip().splitlines()[0]
    return StoreUnavailable(
        f"The user {url.username!r} lacks rights on the store at {_place(url)} ({reason}); "
        "grant them, or run `engage-etl db upgrade` as the owner of the database."
    )


def _place(url: URL) -> str:
    host = url.host or url.query.get("host") or "localhost"
    return f"{host}{f':{url.port}' if url.port else ''}/{url.database}"
