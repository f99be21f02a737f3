"""The rows of a large file are loaded over several connections: the same plan, and no table is left (R29, decision 0027)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, note
from hypothesis import settings as examples
from hypothesis import strategies as st
from sqlalchemy import Connection, Table, func, inspect, select, text
from sqlalchemy.exc import DBAPIError

from engage_etl.errors import StoreUnavailable
from engage_etl.match_plan import stage, staging
from engage_etl.match_plan.planning import PlanInput
from engage_etl.match_plan.working_tables import staged_row
from engage_etl.retention.retention import run_retention
from engage_etl.stage_run import plan_and_report, reject_and_finish
from engage_etl.store.engine import Store
from engage_etl.store.loading_tables import drop_abandoned
from engage_etl.store.outages import OUTAGES
from engage_etl.store.tables import LOADING
from engage_etl_tests.importing import STAGES, Importing
from engage_etl_tests.match_plan import reference
from engage_etl_tests.match_plan.loading import (
    CONNECTIONS,
    ROWS_OF_A_GROUP,
    as_large,
    copies_seen,
    with_several_row_groups,
)
from engage_etl_tests.match_plan.test_plan_equals_reference import fill, options_of, some_values, stores, text_of, ways
from engage_etl_tests.retention.ageing import NoRuns
from engage_etl_tests.scenarios import full_of_features

TEMPLATE = "staged_row"
PEOPLE = "user.Identifier,user.Email\n" + "".join(f"{n},u{n}@x.org\n" for n in range(20))


@pytest.fixture(autouse=True)
def _several(monkeypatch: pytest.MonkeyPatch) -> None:
    with_several_row_groups(monkeypatch)


def tables(store: Store) -> list[str]:
    return inspect(store.engine).get_table_names(schema=LOADING)


def plan_of(importing: Importing, import_id: str) -> tuple[Any, ...]:
    """All that a plan decides."""
    entry = importing.run(import_id, (plan_and_report,))
    rows = [tuple(row) for row in importing.plan_rows(entry)]
    return entry.plan_hash, rows, entry.left_group, entry.changed_fields, entry.warnings, entry.status


def validated(importing: Importing, content: str, **options: Any) -> str:
    import_id = importing.register(content, **{"max_rejected": "100%"} | options)
    return importing.run(import_id, STAGES[:2]).import_id


def test_several_connections_fill_one_table_and_the_plan_is_the_same(importing: Importing) -> None:
    full_of_features.fill(importing, 3)
    import_id = validated(importing, full_of_features.file(3), **full_of_features.options())
    with copies_seen() as over_one:
        expected = plan_of(importing, import_id)
    assert [table for table, _ in over_one] == ["staged_row", "staged_rejection"]
    with copies_seen() as over_several:
        assert plan_of(as_large(importing), import_id) == expected
    loads = [process for table, process in over_several if table.startswith(f"{LOADING}.import_")]
    assert len(loads) == len(set(loads)) == CONNECTIONS
    assert len(over_several) == CONNECTIONS + 1
    assert tables(importing.store) == [TEMPLATE]


@given(contacts=stores(), rows=st.lists(some_values(""), min_size=3, max_size=12), given_=ways())
@examples(max_examples=30)
def test_any_plan_is_the_same(
    importing: Importing, contacts: list[reference.Contact], rows: list[dict[str, str]], given_: reference.Given
) -> None:
    fill(importing, contacts)
    content = text_of(rows, given_.key)
    note(content)
    import_id = validated(importing, content, **options_of(given_))
    expected = plan_of(importing, import_id)
    assert plan_of(as_large(importing), import_id) == expected


def test_a_whole_import_and_the_next_one_over_the_same_connections(importing: Importing) -> None:
    """What the rows were seen through is gone: connections of the pool serve others afterwards."""
    importing.seed("user.Email,user.Identifier\n" + "".join(f"u{n}@x.org,{n}\n" for n in range(20)))
    for other in ("y.org", "z.org"):
        entry = as_large(importing).run(validated(importing, PEOPLE.replace("x.org", other)), STAGES[2:])
        assert (entry.status, entry.updated) == ("applied", 20)
    assert importing(PEOPLE).updated == 20


def test_a_small_file_and_one_row_group_go_over_one(importing: Importing) -> None:
    small = validated(importing, PEOPLE)
    one = validated(importing, "user.Identifier,user.Email\n" + "1,u1@x.org\n" * ROWS_OF_A_GROUP)
    with copies_seen() as seen:
        plan_of(importing, small)
        plan_of(as_large(importing), one)
    assert {table for table, _ in seen} == {"staged_row", "staged_rejection"}


def test_a_connection_that_is_lost_while_it_loads(importing: Importing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error is told, the others stop, and no table is left; the stage can be run again."""
    large, plain, loaded = as_large(importing), staging.copy_into, threading.Barrier(CONNECTIONS)
    import_id = validated(importing, PEOPLE)

    def lost(connection: Any, table: Table, blocks: Any) -> None:
        if table.schema == LOADING and loaded.wait() == 0:
            with importing.store.engine.begin() as other:
                other.execute(
                    select(func.pg_terminate_backend(connection.connection.driver_connection.info.backend_pid))
                )
        plain(connection, table, blocks)

    with monkeypatch.context() as patch:
        patch.setattr(staging, "copy_into", lost)
        with pytest.raises(OUTAGES):
            plan_of(large, import_id)
    assert tables(importing.store) == [TEMPLATE]
    assert plan_of(large, import_id)[-1] == "planned"


def test_a_plan_that_fails_leaves_no_table(importing: Importing, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("while it is planned")

    import_id = validated(importing, PEOPLE)
    with monkeypatch.context() as patch:
        patch.setattr(stage, "write_plan", broken)
        with pytest.raises(RuntimeError, match="while it is planned"):
            plan_of(as_large(importing), import_id)
    assert tables(importing.store) == [TEMPLATE]


def test_what_a_killed_process_left_goes_with_the_next_large_file(importing: Importing) -> None:
    with importing.store.engine.begin() as connection:
        connection.execute(text(f"SELECT {LOADING}.make_table('killed')"))
    assert len(tables(importing.store)) == 2
    assert plan_of(as_large(importing), validated(importing, PEOPLE))[-1] == "planned"
    assert tables(importing.store) == [TEMPLATE] and drop_abandoned(importing.store).dropped == []


def left_by_a_killed_process(store: Store, import_id: str) -> str:
    with store.engine.begin() as connection:
        return str(connection.scalar(text(f"SELECT {LOADING}.make_table(:id)"), {"id": import_id}))


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(
            lambda store, import_id: reject_and_finish(store, import_id, because="x", by="ann"), id="rejected"
        ),
        pytest.param(lambda store, _: run_retention(store, NoRuns()), id="retention"),
    ],
)
def test_it_also_goes_when_its_import_ends_and_every_night(
    importing: Importing, end: Callable[[Store, str], object]
) -> None:
    waiting = importing.plan(PEOPLE, approval="required")
    left_by_a_killed_process(importing.store, waiting.import_id)
    end(importing.store, waiting.import_id)
    assert tables(importing.store) == [TEMPLATE]


def test_rows_that_a_crash_of_the_server_took_are_missed(importing: Importing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unlogged tables are empty afterwards; the connections are new, and no statement fails."""
    large, plain = as_large(importing), stage.write_plan
    import_id = validated(importing, PEOPLE)

    def after_a_crash(connection: Connection, plan: PlanInput) -> None:
        assert plan.loaded is not None
        connection.execute(text(f"TRUNCATE {plan.loaded.fullname}"))
        plain(connection, plan)

    with monkeypatch.context() as patch:
        patch.setattr(stage, "write_plan", after_a_crash)
        with pytest.raises(StoreUnavailable, match=r"of 20 rows that were loaded the server has 0 left") as raised:
            plan_of(large, import_id)
    assert raised.value.is_passing
    assert plan_of(large, import_id)[-1] == "planned"


def test_what_another_program_reads_is_not_waited_for(importing: Importing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "PATIENTLY", "50ms")
    import_id = validated(importing, PEOPLE)
    name = left_by_a_killed_process(importing.store, import_id)
    with importing.store.engine.begin() as reading, copies_seen() as seen:
        reading.execute(text(f"LOCK TABLE {LOADING}.{name} IN ACCESS SHARE MODE"))
        assert plan_of(as_large(importing), import_id)[-1] == "planned"
    assert [table for table, _ in seen] == ["staged_row", "staged_rejection"]


def test_no_other_table_is_dropped_by_the_function(store: Store) -> None:
    with store.engine.begin() as connection, pytest.raises(DBAPIError, match="is not the table of an import"):
        connection.execute(text(f"SELECT {LOADING}.drop_table('{TEMPLATE}')"))


def test_the_tables_are_not_logged_and_as_the_working_table_is(store: Store) -> None:
    with store.engine.begin() as connection:
        name = connection.scalar(text(f"SELECT {LOADING}.make_table('x')"))
        kind = "SELECT relpersistence FROM pg_class WHERE oid = to_regclass(:name)"
        assert connection.scalar(text(kind), {"name": f"{LOADING}.{name}"}) == "u"
        staged_row.create(connection)
        columns = (
            "SELECT attname, attnum, format_type(atttypid, atttypmod), attnotnull, attcollation FROM pg_attribute "
            "WHERE attrelid = to_regclass(:name) AND attnum > 0 ORDER BY attnum"
        )
        made, working = (
            connection.execute(text(columns), {"name": table}).all() for table in (f"{LOADING}.{name}", "staged_row")
        )
        assert made == working
