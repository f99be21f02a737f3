"""R42 as a Dagster job: runs, events and partitions of old imports go, and nothing is started for them again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import text

from engage_etl.settings import Settings
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, find_import
from engage_etl.triggers import retention
from engage_etl.triggers.jobs import import_definitions
from engage_etl.triggers.partitions import IMPORTS
from engage_etl.triggers.resources import Progress
from engage_etl.triggers.run_import import run_imports
from engage_etl.triggers.runs import list_runs
from engage_etl_tests.importing import Importing
from engage_etl_tests.retention.ageing import age
from engage_etl_tests.triggers.dropping import Sensor, add_run

ROWS = "user.Email,user.Identifier\nann@x.org,1\nnobody,2\n"
OF_RUNS = ("event_logs", "asset_event_tags", "asset_check_executions", "runs", "run_tags", "dynamic_partitions")


@pytest.fixture
def imported(importing: Importing, dagster_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[Import]:
    """Two imports by real runs, the first of them old."""
    ids = [importing.register(ROWS, name=f"{name}.csv") for name in ("old", "young")]
    store = importing.store
    assert dagster_settings.database_url is not None
    monkeypatch.setenv("ENGAGE_DATABASE_URL", dagster_settings.database_url)
    monkeypatch.setenv("ENGAGE_DATA_DIR", str(dagster_settings.data_dir))
    monkeypatch.setenv("ENGAGE_DAGSTER_DATABASE", dagster_settings.dagster_database)
    run_imports(dagster_settings, [importing.entry(import_id) for import_id in ids], Progress())
    age(store, ids[0], 100)
    return [importing.entry(import_id) for import_id in ids]


def retain(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    together = dg.Definitions.merge(import_definitions(), retention.retention_definitions())
    return together.get_job_def(retention.RETENTION).execute_in_process(instance=instance)


def rows_naming(instance: dg.DagsterInstance, *words: str) -> dict[str, int]:
    """How many rows of each of Dagster's tables hold one of some words."""
    found = {}
    with instance.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
        for table in OF_RUNS:
            statement = text(f"SELECT count(*) FROM {table} AS row WHERE row::text LIKE ANY (:words)")
            found[table] = connection.scalar(statement, {"words": [f"%{word}%" for word in words]})
    return found


def test_runs_events_and_partitions_of_old_imports_go(
    imported: list[Import], instance: dg.DagsterInstance, store: Store
) -> None:
    old, young = imported
    words = [run.run_id for run in list_runs(instance, old.import_id)] + [old.import_id]
    before = rows_naming(instance, *words)
    assert min(before[table] for table in OF_RUNS if table != "asset_event_tags") > 0
    result = retain(instance)
    assert result.success
    with instance.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
        # The log of the retention itself may name it, and the checks of the next import say what they compared it with.
        others = [result.run_id, *(run.run_id for run in list_runs(instance, young.import_id))]
        for table in ("event_logs", "asset_check_executions"):
            connection.execute(text(f"DELETE FROM {table} WHERE run_id = ANY (:ids)"), {"ids": others})
    assert rows_naming(instance, *words) == dict.fromkeys(OF_RUNS, 0)
    assert instance.get_dynamic_partitions(str(IMPORTS.name)) == [young.import_id]
    assert len(list_runs(instance, young.import_id)) == 1
    assert instance.get_latest_materialization_event(dg.AssetKey("applied_updates")) is not None
    with store.engine.connect() as connection:
        assert find_import(connection, old.import_id) == old


def test_nothing_is_started_for_an_import_whose_partition_is_gone(
    imported: list[Import], instance: dg.DagsterInstance, store: Store, folder: Path
) -> None:
    retain(instance)
    result = Sensor(store, instance).tick()
    assert (result.run_requests, result.dynamic_partitions_requests) == ([], [])


def test_runs_that_have_not_ended_stay(imported: list[Import], instance: dg.DagsterInstance) -> None:
    old = imported[0]
    add_run(instance, dg.DagsterRunStatus.STARTED, import_id=old.import_id)
    assert retain(instance).success
    assert len(list_runs(instance, old.import_id)) == 2
    assert old.import_id in instance.get_dynamic_partitions(str(IMPORTS.name))


def test_old_runs_of_no_import_go_too(imported: list[Import], instance: dg.DagsterInstance) -> None:
    add_run(instance, dg.DagsterRunStatus.SUCCESS)
    alive = add_run(instance, dg.DagsterRunStatus.STARTED)
    runs, now = retention.DagsterRuns(instance), datetime.now(UTC)
    assert runs.remove_others(now - timedelta(days=1), dry_run=False) == 0
    for dry_run, expected in ((True, 1), (False, 1), (False, 0)):
        assert runs.remove_others(now + timedelta(days=1), dry_run=dry_run) == expected
    left = {run.run_id for run in instance.get_runs()}
    assert left == {alive.run_id, *(run.run_id for entry in imported for run in list_runs(instance, entry.import_id))}


def test_a_repeated_run_finds_nothing(imported: list[Import], instance: dg.DagsterInstance) -> None:
    for expected in (1, 0):
        [output] = [
            event.step_output_data.metadata
            for event in retain(instance).all_events
            if event.event_type_value == "STEP_OUTPUT"
        ]
        assert output["runs"].value["imports"] == expected


def test_the_schedule_is_on_and_after_the_housekeeping() -> None:
    [schedule] = retention.retention_definitions().schedules or []
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert (schedule.job_name, schedule.cron_schedule, schedule.execution_timezone) == ("retention", "0 4 * * *", "UTC")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
