"""Dagster's storage keeps its connections: few for many queries, none left over, and none trusted that may be dead."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import dagster as dg
import psycopg
import pytest
from sqlalchemy import event

from engage_etl.settings import Settings
from engage_etl.triggers import storage
from engage_etl.triggers.instance import open_instance
from engage_etl_tests.waiting import wait_for


@pytest.fixture
def connections(dagster_settings: Settings) -> Iterator[Any]:
    """Counts the connections to Dagster's database, or ends them."""
    assert dagster_settings.database_url is not None
    with psycopg.connect(dagster_settings.database_url, autocommit=True) as connection:

        def ask(what: str = "count(*)") -> int:
            query = f"SELECT {what} FROM pg_stat_activity WHERE datname = %s"
            found = connection.execute(query, [dagster_settings.dagster_database]).fetchone()
            return int(found[0]) if found else 0

        yield ask


def ask_all_parts(instance: dg.DagsterInstance) -> None:
    """One query each of runs, events and schedules."""
    assert instance.get_runs(limit=1) == []
    assert list(instance.get_dynamic_partitions("import_id")) == []
    assert list(instance.all_instigator_state()) == []


def test_many_queries_share_one_connection(dagster_settings: Settings, connections: Any) -> None:
    with open_instance(dagster_settings) as instance:
        first = [ask_all_parts(instance), connections("min(pid)")][1]
        for _ in range(20):
            ask_all_parts(instance)
        assert (connections(), connections("min(pid)")) == (1, first)


def test_a_look_at_runs_is_one_statement(dagster_settings: Settings) -> None:
    """Dagster's own asks the catalogue each time whether columns are there, which they are."""
    with open_instance(dagster_settings) as instance:
        runs: Any = instance.run_storage
        assert super(type(runs), runs).has_run_stats_index_cols()
        statements: list[str] = []
        event.listen(runs._engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
        assert list(instance.get_run_records(limit=1)) == []
        assert ["FROM runs" in statement for statement in statements] == [True]


def test_none_is_left_when_the_instance_is_given_up(dagster_settings: Settings, connections: Any) -> None:
    with open_instance(dagster_settings) as instance:
        ask_all_parts(instance)
        assert connections() == 1
    wait_for("the end of the connections", lambda: connections() == 0)


@pytest.mark.parametrize("idle", [math.inf, -1.0], ids=["used a moment ago", "idle"])
def test_a_connection_that_a_restarted_server_closed_is_replaced(
    instance: dg.DagsterInstance, connections: Any, monkeypatch: pytest.MonkeyPatch, idle: float
) -> None:
    monkeypatch.setattr(storage, "_IDLE", idle)
    ask_all_parts(instance)
    connections("sum(pg_terminate_backend(pid)::int)")
    wait_for("the end of the connections", lambda: connections() == 0)
    ask_all_parts(instance)
    assert connections() == 1
