"""R40: a tick of the sensor registers what has arrived, asks for its runs, and says what it leaves alone."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
import pytest

from engage_etl.errors import ImportEnded
from engage_etl.settings import Settings
from engage_etl.store.engine import Store
from engage_etl.store.imports import mark_failed, update_import
from engage_etl.triggers.drop_folder import drop_folder_sensor
from engage_etl.vocabulary.outcomes import Status
from engage_etl_tests.triggers.conftest import AUTOMATIONS
from engage_etl_tests.triggers.dropping import Sensor, add_run


@pytest.fixture
def sensor(store: Store, instance: dg.DagsterInstance) -> Sensor:
    return Sensor(store, instance)


def test_r40_a_dropped_file_gets_a_run_of_its_own(sensor: Sensor, folder: Path) -> None:
    (folder / "contacts.csv").write_text("user.Identifier\n1\n")
    result = sensor.tick()
    [entry] = sensor.registered()
    [request] = result.run_requests or []
    assert (request.run_key, request.partition_key) == (f"{entry.import_id}/1", entry.import_id)
    assert request.tags == {"file": "contacts.csv", "group": "Newsletter", "automation": "crm"}
    [partitions] = result.dynamic_partitions_requests or []
    assert partitions.partition_keys == [entry.import_id]
    assert (entry.attempts, entry.import_options.use_external_identifier) == (1, True)


def test_r40_runs_are_asked_for_in_the_order_of_arrival(sensor: Sensor, folder: Path) -> None:
    for name in ("c.csv", "a.csv", "b.csv"):
        (folder / name).write_text("user.Identifier\n1\n")
        os.utime(folder / name, (1, 1) if name == "b.csv" else (2, 2))
    assert [request.tags["file"] for request in sensor.tick().run_requests or []] == ["b.csv", "a.csv", "c.csv"]


def test_r40_a_tick_that_is_repeated_asks_for_the_same_run(sensor: Sensor, folder: Path) -> None:
    """Dagster launches a run key once, so that a request lost with its tick is made up for."""
    entry = sensor.take(folder / "contacts.csv")
    assert sensor.requested() == sensor.requested() == [f"{entry.import_id}/1"]


@pytest.mark.parametrize("status", ["NOT_STARTED", "STARTING", "STARTED", "CANCELING"])
def test_r40_no_run_beside_a_live_one(sensor: Sensor, folder: Path, status: str) -> None:
    entry = sensor.take(folder / "contacts.csv")
    add_run(sensor.instance, dg.DagsterRunStatus[status], import_id=entry.import_id)
    result = sensor.tick()
    assert (result.run_requests, result.skip_reason.skip_message) == ([], "no file has arrived")  # type: ignore[union-attr]


def test_r40_a_run_that_died_is_followed_by_another_until_the_attempts_are_used_up(
    sensor: Sensor, folder: Path
) -> None:
    entry = sensor.take(folder / "contacts.csv")
    for attempt in (2, 3):
        add_run(sensor.instance, dg.DagsterRunStatus.FAILURE, import_id=entry.import_id)
        assert sensor.requested() == [f"{entry.import_id}/{attempt}"]
    add_run(sensor.instance, dg.DagsterRunStatus.FAILURE, import_id=entry.import_id)
    assert sensor.requested() == []
    ended = sensor.entry(entry.import_id)
    assert ended.status is Status.FAILED
    assert "3 runs of this import ended before it was applied" in (ended.error_message or "")
    assert ended.settled_path is not None and "/failed/crm/" in ended.settled_path


def test_r40_a_cancelled_run_is_not_started_again(sensor: Sensor, folder: Path) -> None:
    entry = sensor.take(folder / "contacts.csv")
    add_run(sensor.instance, dg.DagsterRunStatus.CANCELED, import_id=entry.import_id)
    assert sensor.requested() == []
    ended = sensor.entry(entry.import_id)
    assert ended.status is Status.FAILED
    assert "its run was cancelled" in (ended.error_message or "")


def test_r40_a_failed_import_does_not_block_the_next(sensor: Sensor, folder: Path) -> None:
    first = sensor.take(folder / "first.csv")
    with sensor.store.engine.begin() as connection:
        mark_failed(connection, first.import_id, ImportEnded("wrong"))
    second = sensor.take(folder / "second.csv")
    assert sensor.requested() == [f"{second.import_id}/1"]


def test_r40_a_file_whose_import_ended_is_put_away_by_the_next_tick(sensor: Sensor, folder: Path) -> None:
    entry = sensor.take(folder / "contacts.csv")
    with sensor.store.engine.begin() as connection:
        update_import(connection, entry.import_id, status=Status.APPLIED)
    assert sensor.requested() == []
    settled = sensor.entry(entry.import_id).settled_path
    assert settled is not None and "/done/crm/" in settled
    assert not entry.arrived_path.exists()


def test_a_file_that_people_took_away_while_it_waited_does_not_stop_the_others(sensor: Sensor, folder: Path) -> None:
    first = sensor.take(folder / "first.csv")
    with sensor.store.engine.begin() as connection:
        update_import(connection, first.import_id, status=Status.APPLIED)
    first.arrived_path.unlink()
    second = sensor.take(folder / "second.csv")
    assert sensor.requested() == [f"{second.import_id}/1"]


def test_the_skip_reason_names_what_is_left_alone(sensor: Sensor, folder: Path, settings: Settings) -> None:
    settings.automations_file.write_text(
        AUTOMATIONS + "  - name: wrong\n    group: G\n    source: drop/w\n    grup: H\n"
    )
    (settings.drop_dir / "unknown").mkdir()
    (settings.drop_dir / "unknown" / "a.csv").write_text("x")
    (settings.drop_dir / "loose.csv").write_text("x")
    reason = sensor.tick().skip_reason
    assert reason is not None and reason.skip_message is not None
    assert "automations.yaml, line 12" in reason.skip_message and "'group'" in reason.skip_message
    assert "no automation has the folder drop/unknown as its source" in reason.skip_message
    assert "drop/loose.csv lies in no automation's folder" in reason.skip_message


def test_a_source_that_cannot_be_made_does_not_stop_the_others(
    sensor: Sensor, folder: Path, settings: Settings
) -> None:
    (settings.root / "file").write_text("x")
    other = "  - name: other\n    group: G\n    source: file/below\n"
    settings.automations_file.write_text(AUTOMATIONS + other)
    entry = sensor.take(folder / "contacts.csv")
    assert sensor.requested() == [f"{entry.import_id}/1"]
    with sensor.store.engine.begin() as connection:
        update_import(connection, entry.import_id, status=Status.WAITING_FOR_APPROVAL)
    reason = sensor.tick().skip_reason
    assert reason is not None and "the source" in str(reason.skip_message) and "'other'" in str(reason.skip_message)


def test_a_store_that_does_not_answer_is_the_skip_reason(
    instance: dg.DagsterInstance, dagster_settings: Settings
) -> None:
    gone = dagster_settings.model_copy(update={"database_url": "postgresql://nobody@127.0.0.1:1/engage"})
    with dg.build_sensor_context(instance=instance, cursor="{}") as context:
        result = drop_folder_sensor(gone)(context)
    assert isinstance(result, dg.SensorResult)
    assert "does not answer" in str(result.skip_reason)
    assert result.cursor == "{}"
