"""The schema of the store and its migrations."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, column, func, select, table

from engage_etl.errors import SchemaMismatch
from engage_etl.store.partitions import MONTHS_AHEAD, make_partitions
from engage_etl.store.readers import drop_views_on_store, set_up_readers
from engage_etl.store.roles import set_up_application
from engage_etl.store.tables import SCHEMA

_MIGRATIONS = Path(__file__).parent / "migrations"
_version = table("alembic_version", column("version_num"), schema=SCHEMA)


def known_revisions() -> list[str]:
    """The revisions that this program knows, oldest first: the numbers that the migrations' file names begin with."""
    # Read from the names, since Alembic takes longer to load than a command may take to answer.
    return sorted(file.name.partition("_")[0] for file in (_MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def head_revision() -> str:
    """The revision that this program works with."""
    return known_revisions()[-1]


def current_revision(engine: Engine) -> str | None:
    """The revision of a store, or None where it has no schema yet."""
    with engine.connect() as connection:
        return _revision(connection)


def upgrade(engine: Engine) -> None:
    """Bring the schema of a store to the newest revision, with partitions and roles; several processes may do so at once.

    Raises:
        SchemaMismatch: the store's revision is not known to this program.
    """
    from alembic import command

    with engine.begin() as connection:
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("engage-etl upgrade", 0))))
        revision = _revision(connection)
        if revision is not None and revision not in known_revisions():
            raise SchemaMismatch(
                f"The store has schema {revision}, which is newer than this program's {head_revision()}; update Engage ETL."
            )
        if revision != head_revision():
            drop_views_on_store(connection)
        command.upgrade(migration_config(connection), "head")
        make_partitions(connection, MONTHS_AHEAD)
        set_up_readers(connection)
        set_up_application(connection)


def migration_config(connection: Connection):  # type: ignore[no-untyped-def]
    """Alembic's configuration for the migrations, on an open connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def _revision(connection: Connection) -> str | None:
    if connection.scalar(select(func.to_regclass(f"{SCHEMA}.alembic_version"))) is None:
        return None
    revision: str | None = connection.scalar(select(_version.c.version_num))
    return revision
