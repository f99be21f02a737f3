"""Plans and history lie in partitions by month, which are there before anybody needs them (decision 0009)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, Engine, insert, select, text

from engage_etl.settings import Settings
from engage_etl.store.engine import Store, connect_engine, open_store, upgrade_store
from engage_etl.store.partitions import MONTHS_AHEAD, MONTHS_NEEDED, PARTITIONED, is_partition, make_partitions
from engage_etl.store.schema import migration_config
from engage_etl.store.statistics import analyze
from engage_etl.store.tables import METADATA, contact_change, plan_row
from engage_etl_tests.importing import Importing

CONTACTS = "user.Email,user.Identifier\nann@example.com,1\nbob@example.com,2\n"
OTHER_ADDRESSES = "user.Email,user.Identifier\nann@example.org,1\nbob@example.org,2\n"

LIE_IN = """
SELECT parent.relname || ' ' || pg_get_expr(child.relpartbound, child.oid)
FROM pg_inherits JOIN pg_class AS parent ON parent.oid = inhparent JOIN pg_class AS child ON child.oid = inhrelid
WHERE parent.relkind = 'p'
"""
OLD_DATA = """
INSERT INTO engage.import_register (import_id, file, source_path, group_name, options, status, received_at, planned_at)
VALUES ('a', 'a.csv', 'a.csv', 'Newsletter', '{}', 'applied', '2025-12-31T20:00Z', '2025-12-31T23:59Z'),
       ('b', 'b.csv', 'b.csv', 'Newsletter', '{}', 'received', '2026-02-28T23:59Z', NULL);
INSERT INTO engage.plan_row (import_id, row, outcome, changes)
VALUES ('a', 2, 'created', '{"email": [null, "ann@example.com"]}'), ('a', 3, 'rejected', NULL), ('b', 2, 'unchanged', NULL);
INSERT INTO engage.contact_change (import_id, row, contact_id, version, changed_at, outcome, changes)
VALUES ('a', 2, 1, 1, '2025-12-31T23:59Z', 'created', '{}'), ('a', 3, 2, 2, '2026-01-01T00:00Z', 'updated', '{}');
"""


def partitions(connection: Connection) -> set[str]:
    return set(connection.scalars(text(LIE_IN)))


def drop_months_to_come(engine: Engine) -> None:
    """As if the store had not been opened for a long time: no partition is there."""
    with engine.begin() as connection:
        names = [name for name in connection.scalars(text("SELECT relname FROM pg_class")) if is_partition(name)]
        for name in names:
            connection.execute(text(f"DROP TABLE engage.{name}"))


def test_an_upgrade_makes_this_month_and_those_that_follow(store: Store) -> None:
    drop_months_to_come(store.engine)
    upgrade_store(store.settings)
    with store.engine.connect() as connection:
        months = connection.scalars(
            text("SELECT to_char(now() + make_interval(0, ahead), '_YYYY_MM') FROM generate_series(0, :last) AS ahead"),
            {"last": MONTHS_AHEAD},
        ).all()
        names = set(connection.scalars(text("SELECT relname FROM pg_class")))
        assert len(partitions(connection)) == len(months) * 2
    assert {table + month for table in ("plan_row", "contact_change") for month in months} <= names


def test_opening_the_store_makes_what_lacks_so_that_imports_never_depend_on_the_job(importing: Importing) -> None:
    drop_months_to_come(importing.store.engine)
    with open_store(importing.store.settings) as store, store.engine.connect() as connection:
        assert len(partitions(connection)) == (1 + MONTHS_NEEDED) * 2
    assert importing.seed(CONTACTS).created == 2


def test_several_processes_open_the_store_at_once(store: Store) -> None:
    drop_months_to_come(store.engine)
    with ThreadPoolExecutor(4) as pool:
        for opened in pool.map(open_store, [store.settings] * 4):
            opened.dispose()
    with store.engine.connect() as connection:
        assert len(partitions(connection)) == (1 + MONTHS_NEEDED) * 2


def test_a_month_that_is_there_is_not_made_again(store: Store) -> None:
    drop_months_to_come(store.engine)
    with store.engine.begin() as connection:
        assert len(made := make_partitions(connection, 2)) == 6
        assert all(is_partition(name) for name in made)
        assert make_partitions(connection, 2) == []
        assert [is_partition(table.name) for table in METADATA.sorted_tables] == [False] * len(METADATA.tables)


def test_months_are_those_of_utc_whoever_makes_them(store: Store) -> None:
    with store.engine.begin() as connection:
        connection.execute(text("SET timezone = 'Pacific/Auckland'"))
        connection.execute(text("SELECT engage.make_partitions('2025-12-31', '2026-01-01')"))
        connection.execute(text("SET timezone = 'UTC'"))
        assert {
            "plan_row FOR VALUES FROM ('2025-12-01') TO ('2026-01-01')",
            "contact_change FOR VALUES FROM ('2026-01-01 00:00:00+00') TO ('2026-02-01 00:00:00+00')",
        } <= partitions(connection)


def test_partitions_are_made_beside_a_transaction_that_writes(store: Store) -> None:
    """Making one waits for nobody who plans or applies at the time."""
    change = {"import_id": "a", "contact_id": 1, "version": 1, "outcome": "created", "changes": {}}
    with store.engine.begin() as writing, store.engine.begin() as making:
        writing.execute(insert(contact_change).values(change))
        writing.execute(insert(plan_row).values(import_id="a", row=2, outcome="created"))
        making.execute(text("SET LOCAL lock_timeout = '2s'"))
        assert len(make_partitions(making, MONTHS_AHEAD + 1)) == 2


def test_a_role_that_owns_nothing_makes_partitions_too(store: Store) -> None:
    drop_months_to_come(store.engine)
    with store.engine.connect() as connection, connection.begin() as transaction:
        connection.execute(text("CREATE ROLE engage_test_application"))
        connection.execute(text("GRANT USAGE ON SCHEMA engage TO engage_test_application"))
        connection.execute(text("GRANT SELECT, INSERT ON engage.plan_row TO engage_test_application"))
        connection.execute(text("SET LOCAL ROLE engage_test_application"))
        assert len(make_partitions(connection, 0)) == 2
        connection.execute(insert(plan_row).values(import_id="a", row=2, outcome="created"))
        transaction.rollback()


def test_a_plan_lies_in_the_month_in_which_it_was_made(importing: Importing) -> None:
    entry = importing.seed(CONTACTS)
    with importing.store.engine.connect() as connection:
        found = connection.execute(select(plan_row.c.planned_on).distinct()).scalars().all()
    assert entry.planned_at is not None and found == [entry.planned_at.date()]


def test_postgresql_does_not_take_a_new_plan_for_a_single_row(store: Store) -> None:
    """It knows the imports of the month, and the one that has just been planned is not among them."""
    many = text(
        "INSERT INTO engage.plan_row (import_id, row, outcome) SELECT :id, n, 'updated' FROM generate_series(1, 20000) n"
    )
    plan = text("EXPLAIN (FORMAT JSON) SELECT * FROM engage.plan_row WHERE import_id = 'new'")
    with store.engine.begin() as connection:
        for known in ("a", "b"):
            connection.execute(many, {"id": known})
        for table in PARTITIONED:
            analyze(connection, table)
        connection.execute(many, {"id": "new"})
        [[explained]] = connection.execute(plan).all()
    assert explained[0]["Plan"]["Plan Rows"] > 100


@pytest.fixture
def old_store(unmigrated: Settings) -> Settings:
    """A store of revision 0002, from before there were partitions, with plans and history of three months."""
    engine = connect_engine(unmigrated)
    with engine.begin() as connection:
        command.upgrade(migration_config(connection), "0002")
        connection.execute(text(OLD_DATA.replace(":", "\\:")))
    engine.dispose()
    return unmigrated


def contents(settings: Settings) -> list[Any]:
    """Plans and history as they are, but for what a plan has had only since then."""
    engine = connect_engine(settings)
    columns = [column for column in plan_row.columns if column.name not in ("planned_on", "is_vacated")]
    with engine.connect() as connection:
        plans = connection.execute(select(*columns).order_by(plan_row.c.import_id, plan_row.c.row)).all()
        history = connection.execute(select(contact_change).order_by(contact_change.c.change_id)).all()
    engine.dispose()
    return [plans, history]


def test_an_old_store_keeps_its_plans_and_its_history(old_store: Settings) -> None:
    before = contents(old_store)
    assert [len(rows) for rows in before] == [3, 2]
    upgrade_store(old_store)
    assert contents(old_store) == before
    with open_store(old_store) as store, store.engine.begin() as connection:
        in_months = text("SELECT tableoid::regclass::text, count(*) FROM engage.plan_row GROUP BY 1 ORDER BY 1")
        assert connection.execute(in_months).all() == [("engage.plan_row_2025_12", 2), ("engage.plan_row_2026_02", 1)]
        in_months = text("SELECT tableoid::regclass::text FROM engage.contact_change ORDER BY change_id")
        assert connection.scalars(in_months).all() == ["engage.contact_change_2025_12", "engage.contact_change_2026_01"]
        change = {"import_id": "c", "contact_id": 1, "version": 2, "outcome": "updated", "changes": {}}
        added = connection.scalar(insert(contact_change).values(change).returning(contact_change.c.change_id))
    assert added == 3


def test_nothing_else_is_left_of_the_old_tables(old_store: Settings) -> None:
    upgrade_store(old_store)
    engine = connect_engine(old_store)
    with engine.connect() as connection:
        schemas = connection.scalars(text("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'engage%'")).all()
    engine.dispose()
    assert sorted(schemas) == ["engage", "engage_loading"]
