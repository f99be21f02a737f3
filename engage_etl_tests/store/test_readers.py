"""Analysts and dbt read the store and write nothing of it, and the upgrade sees to their roles (decision 0019)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from engage_etl.settings import Settings
from engage_etl.store.engine import Store, building_facts, connect_engine, upgrade_store
from engage_etl.store.readers import BUILDER, READER, STAGING, erase_from_marts, set_up_readers
from engage_etl.store.tables import METADATA, SCHEMA
from engage_etl_tests.store.older import set_back

TABLES = sorted(table.name for table in METADATA.sorted_tables)


def acting_as(connection: Connection, role: str) -> Connection:
    """Go on as another role until the transaction ends."""
    connection.execute(text(f"SET LOCAL ROLE {role}"))
    return connection


@pytest.mark.parametrize("role", [READER, BUILDER])
@pytest.mark.parametrize("table", TABLES)
def test_they_read_each_table_of_the_store(store: Store, role: str, table: str) -> None:
    with store.engine.begin() as connection:
        assert acting_as(connection, role).scalar(text(f"SELECT count(*) FROM {SCHEMA}.{table}")) == 0


@pytest.mark.parametrize("role", [READER, BUILDER])
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM engage.contact",
        "UPDATE engage.import_register SET rows = 0",
        "INSERT INTO engage.contact_group (name, name_key) VALUES ('x', 'x')",
        "CREATE TABLE engage.mine (x int)",
        "SELECT nextval('engage.contact_contact_id_seq')",
        "SELECT engage.set_up_readers()",
    ],
)
def test_they_write_nothing_of_it(store: Store, role: str, statement: str) -> None:
    with store.engine.begin() as connection, pytest.raises(ProgrammingError, match="permission denied"):
        acting_as(connection, role).execute(text(statement))


def test_the_marts_belong_to_who_builds_them_and_analysts_read_what_is_built_there(store: Store) -> None:
    with store.engine.begin() as connection:
        acting_as(connection, BUILDER).execute(text("CREATE TABLE marts.made AS SELECT 1 AS x"))
        connection.execute(text(f"CREATE TABLE {STAGING}.made AS SELECT 1 AS x"))
    with store.engine.begin() as connection:
        assert acting_as(connection, READER).scalar(text("SELECT x FROM marts.made")) == 1
        with pytest.raises(ProgrammingError, match="permission denied"):
            connection.execute(text("CREATE TABLE marts.mine (x int)"))
    with store.engine.begin() as connection, pytest.raises(ProgrammingError, match="permission denied"):
        acting_as(connection, READER).execute(text(f"SELECT x FROM {STAGING}.made"))


def test_nobody_else_reads_personal_data(store: Store) -> None:
    query = """
        SELECT nspname || '.' || relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE nspname IN ('engage', 'marts', 'audit') AND has_table_privilege('pg_monitor', pg_class.oid, 'SELECT')
        UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'audit'::regnamespace
            AND has_function_privilege('pg_monitor', oid, 'EXECUTE')
        UNION ALL SELECT nspname FROM pg_namespace
        WHERE nspname IN ('engage', 'marts', 'audit') AND has_schema_privilege('pg_monitor', oid, 'USAGE')"""
    with store.engine.connect() as connection:
        assert connection.scalars(text(query)).all() == []


def test_what_was_built_before_there_were_roles_changes_hands(store: Store) -> None:
    with store.engine.begin() as connection:
        for statement in ("DROP SCHEMA marts CASCADE", "CREATE SCHEMA marts", "CREATE TABLE marts.imports (x int)"):
            connection.execute(text(statement))
        assert set_up_readers(connection)
        owner = "SELECT tableowner FROM pg_tables WHERE schemaname = 'marts'"
        assert connection.scalars(text(owner)).all() == [BUILDER]
        assert acting_as(connection, READER).scalar(text("SELECT count(*) FROM marts.imports")) == 0


def test_an_upgrade_is_not_kept_from_changing_what_the_models_read(store: Store) -> None:
    """PostgreSQL refuses to change the type of a column that a view has."""
    with store.engine.begin() as connection:
        connection.execute(text(f"CREATE VIEW {STAGING}.stg_contacts AS SELECT * FROM engage.contact"))
        set_back(connection, "0010")
        for made in ("SCHEMA audit CASCADE", "FUNCTION engage.set_up_readers()"):
            connection.execute(text(f"DROP {made}"))
    upgrade_store(store.settings)
    with store.engine.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM pg_views WHERE schemaname = :name"), {"name": STAGING}) == 0
        assert acting_as(connection, BUILDER).scalar(text(f"SELECT has_schema_privilege('{STAGING}', 'CREATE')"))


@pytest.fixture
def modest(server: str, unmigrated: Settings) -> Iterator[Settings]:
    """An installation on an external server whose user owns the database and may not make roles."""
    name = f"modest_{uuid.uuid4().hex[:12]}"
    user = sql.Identifier(name)
    with psycopg.connect(unmigrated.database_url or "", autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {}").format(user))
        database = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(database, user))
    yield unmigrated.model_copy(update={"database_url": f"{unmigrated.database_url}&options=-c%20role%3D{name}"})
    with psycopg.connect(unmigrated.database_url or "", autocommit=True) as connection:
        for statement in ("REASSIGN OWNED BY {} TO CURRENT_USER", "DROP OWNED BY {}", "DROP ROLE {}"):
            connection.execute(sql.SQL(statement).format(user))


def user_of(settings: Settings) -> str:
    engine = connect_engine(settings)
    with engine.connect() as connection:
        name = connection.scalar(text("SELECT current_user"))
    engine.dispose()
    assert name is not None and name.startswith("modest")
    return str(name)


def test_where_the_user_may_not_give_rights_imports_work_and_dbt_builds_as_the_user(modest: Settings) -> None:
    upgrade_store(modest)
    assert building_facts(modest)["ENGAGE_DBT_ROLE"] == ""
    engine = connect_engine(modest)
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT to_regnamespace('marts')")) is None
        assert connection.scalar(text("SELECT count(*) FROM audit.contact_history('1')")) == 0
    engine.dispose()


def test_a_superuser_can_make_up_for_it(modest: Settings, store: Store) -> None:
    upgrade_store(modest)
    with store.engine.begin() as connection:
        connection.execute(text(f"GRANT {BUILDER} TO {user_of(modest)}"))
    upgrade_store(modest)
    assert building_facts(modest)["ENGAGE_DBT_ROLE"] == BUILDER
    engine = connect_engine(modest)
    with engine.connect() as connection:
        query = f"SELECT has_table_privilege('{READER}', 'engage.contact', 'SELECT'), nspowner::regrole::text"
        assert connection.execute(text(f"{query} FROM pg_namespace WHERE nspname = 'marts'")).all() == [(True, BUILDER)]
    engine.dispose()


def test_who_upgrades_is_told_to_dbt_as_who_builds(store: Store) -> None:
    assert building_facts(store.settings)["ENGAGE_DBT_ROLE"] == BUILDER


def test_who_is_forgotten_goes_from_the_marts_at_once(store: Store) -> None:
    with store.engine.begin() as connection:
        assert erase_from_marts(connection, 1) == 0, "nothing is built yet"
        for name in ("contact_changes", "contact_current"):
            connection.execute(
                text(f"CREATE TABLE marts.{name} AS SELECT n AS contact_id FROM generate_series(1, 2) AS n")
            )
        assert erase_from_marts(connection, 1) == 2
        query = "SELECT contact_id FROM marts.contact_changes UNION ALL SELECT contact_id FROM marts.contact_current"
        assert connection.scalars(text(query)).all() == [2, 2]
