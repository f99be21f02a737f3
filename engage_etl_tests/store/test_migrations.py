"""The migrations make the tables that the program knows, from nothing, also when two processes begin at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, text
from sqlalchemy.schema import CreateSchema

from engage_etl.errors import SchemaMismatch
from engage_etl.settings import Settings
from engage_etl.store.engine import Store, connect_engine
from engage_etl.store.partitions import is_partition
from engage_etl.store.schema import current_revision, head_revision, known_revisions, upgrade
from engage_etl.store.tables import LOADING, METADATA, SCHEMA

OURS = f"""
    relnamespace = '{SCHEMA}'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
    AND relname <> 'alembic_version'"""
CATALOGUE = {
    "tables": f"SELECT relname, reloptions, obj_description(oid), pg_get_partkeydef(oid) FROM pg_class WHERE {OURS}",
    "columns": f"""
        SELECT relname, attname, attnum, format_type(atttypid, atttypmod), attnotnull, attidentity, collname,
               pg_get_expr(adbin, adrelid), col_description(pg_class.oid, attnum)
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid LEFT JOIN pg_collation ON pg_collation.oid = attcollation
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attnum > 0 AND {OURS}""",
    "constraints": f"""
        SELECT relname, conname, pg_get_constraintdef(pg_constraint.oid)
        FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid WHERE {OURS}""",
    "indexes": f"""
        SELECT relname, indexname, indexdef FROM pg_indexes JOIN pg_class ON relname = tablename
        WHERE schemaname = '{SCHEMA}' AND {OURS}""",
}


def rows(engine: Engine, kind: str) -> set[tuple[str, ...]]:
    """What PostgreSQL's catalogue says about our tables, all as text."""
    with engine.connect() as connection:
        return {tuple(map(str, row)) for row in connection.execute(text(CATALOGUE[kind]))}


@pytest.mark.filterwarnings("ignore:Did not recognize type 'xid8'")
def test_the_migrations_make_the_tables_that_the_program_knows(store: Store) -> None:
    options = {
        "include_schemas": True,
        "include_name": lambda name, kind, _: name == SCHEMA if kind == "schema" else not is_partition(name),
        "version_table_schema": SCHEMA,
        "compare_type": True,
        "compare_server_default": True,
    }
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, METADATA) == []


@pytest.mark.parametrize("kind", list(CATALOGUE))
def test_the_catalogue_knows_no_difference_either(store: Store, unmigrated: Settings, kind: str) -> None:
    """Alembic does not look at checks, exclusions, fill factors, collations, order of columns."""
    declared = connect_engine(unmigrated)
    with declared.begin() as connection:
        connection.execute(CreateSchema(SCHEMA))
        METADATA.create_all(connection)
    migrated = rows(store.engine, kind)
    assert migrated == rows(declared, kind)
    assert migrated
    declared.dispose()


def test_what_the_design_asks_of_the_contact_table(store: Store) -> None:
    indexes = {row[1]: row[2] for row in rows(store.engine, "indexes")}
    assert "USING hash (identifier)" in indexes["ix_contact_identifier"]
    assert "UNIQUE" in indexes["uq_contact_email_key"] and "UNIQUE" in indexes["uq_contact_mobile_key"]
    constraints = {row[1]: row[2] for row in rows(store.engine, "constraints")}
    assert constraints["uq_contact_app_alias"] == "EXCLUDE USING hash (app_alias WITH =)"
    assert {"ck_contact_email_key", "ck_contact_mobile_key"} <= constraints.keys()
    options = {row[0]: row[1] for row in rows(store.engine, "tables")}
    assert "fillfactor=70" in options["contact"]
    for table in ("contact", "membership"):
        assert "autovacuum_vacuum_scale_factor=0.05" in options[table]


def test_every_table_lies_in_our_schemas(store: Store) -> None:
    query = "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    with store.engine.connect() as connection:
        found = set(connection.scalars(text(query)))
    assert {table for table in found if not table.startswith(f"{SCHEMA}.")} == {f"{LOADING}.staged_row"}


def test_from_nothing_to_the_newest_revision(unmigrated: Settings) -> None:
    engine = connect_engine(unmigrated)
    assert current_revision(engine) is None
    upgrade(engine)
    assert current_revision(engine) == head_revision() == known_revisions()[-1]
    upgrade(engine)
    assert current_revision(engine) == head_revision()
    engine.dispose()


def test_several_upgrades_at_once(unmigrated: Settings) -> None:
    engines = [connect_engine(unmigrated) for _ in range(4)]
    with ThreadPoolExecutor(len(engines)) as pool:
        assert list(pool.map(upgrade, engines)) == [None] * len(engines)
    assert current_revision(engines[0]) == head_revision()
    for engine in engines:
        engine.dispose()


def test_a_schema_that_is_newer_than_the_program_is_left_alone(store: Store) -> None:
    with store.engine.begin() as connection:
        connection.execute(text(f"UPDATE {SCHEMA}.alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaMismatch, match="9999, which is newer than this program's"):
        upgrade(store.engine)
    assert current_revision(store.engine) == "9999"
