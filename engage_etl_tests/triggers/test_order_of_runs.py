"""R40: after a run that died, the imports of its automation still take effect in the order of their arrival."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
import pytest

from engage_etl.store.groups import create_group
from engage_etl.store.imports import Import, find_import, is_preceded, update_import
from engage_etl.triggers.jobs import IMPORT_CONTACTS, import_definitions
from engage_etl.vocabulary.outcomes import Status
from engage_etl_tests.triggers.conftest import AUTOMATIONS
from engage_etl_tests.triggers.dropping import Sensor, add_run

FAILURE, SUCCESS, LIVE = (dg.DagsterRunStatus[name] for name in ("FAILURE", "SUCCESS", "STARTED"))
BY_SENSOR = {"dagster/sensor_name": "drop_folder"}


@pytest.fixture
def sensor(store: object, instance: dg.DagsterInstance) -> Sensor:
    return Sensor(store, instance)  # type: ignore[arg-type]


@pytest.fixture
def two(sensor: Sensor, folder: Path) -> tuple[Import, Import]:
    """Two imports of one automation; the names are not in the order of arrival."""
    for moment, name in enumerate(("b.csv", "a.csv"), 1):
        (folder / name).write_text("user.Identifier,user.Email\n1,a@x.org\n")
        os.utime(folder / name, (moment, moment))
    sensor.tick()
    found = {entry.file: entry for entry in sensor.registered()}
    with sensor.store.engine.begin() as connection:
        create_group(connection, "Newsletter")
    return found["b.csv"], found["a.csv"]


def test_r40_who_is_asked_for_again_comes_before_those_that_arrived_later(
    sensor: Sensor, two: tuple[Import, Import]
) -> None:
    first, second = two
    add_run(sensor.instance, FAILURE, import_id=first.import_id)
    requests = {request.run_key: request.tags.get("dagster/priority") for request in sensor.tick().run_requests or []}
    assert requests == {f"{first.import_id}/2": "2", f"{second.import_id}/1": None}


def test_r40_who_came_too_early_is_asked_for_with_those_before_it(sensor: Sensor, two: tuple[Import, Import]) -> None:
    """One for each look would take five seconds for each file that waits."""
    first, second = two
    add_run(sensor.instance, FAILURE, import_id=first.import_id)
    add_run(sensor.instance, SUCCESS, import_id=second.import_id)
    asked = [(request.run_key, request.tags.get("dagster/priority")) for request in sensor.tick().run_requests or []]
    assert asked == [(f"{first.import_id}/2", "2"), (f"{second.import_id}/2", "2")]


@pytest.mark.parametrize(("tags", "is_asked_for"), [({}, False), ({"dagster/priority": "2"}, True)], ids=str)
def test_r40_who_came_too_early_waits_for_those_that_would_start_after_it(
    sensor: Sensor, two: tuple[Import, Import], tags: dict[str, str], is_asked_for: bool
) -> None:
    first, second = two
    add_run(sensor.instance, SUCCESS, import_id=second.import_id)
    add_run(sensor.instance, dg.DagsterRunStatus.NOT_STARTED, import_id=first.import_id, tags=tags)
    assert sensor.requested() == [f"{second.import_id}/2"] * is_asked_for
    add_run(sensor.instance, LIVE, import_id=first.import_id)
    assert sensor.requested() == [f"{second.import_id}/2"]


def test_r40_a_further_run_does_not_overtake_a_first_one(sensor: Sensor, two: tuple[Import, Import]) -> None:
    first, second = two
    add_run(sensor.instance, SUCCESS, import_id=second.import_id)
    assert sensor.requested() == [f"{first.import_id}/1"]


def test_r40_of_several_that_are_asked_for_again_the_first_comes_first(
    sensor: Sensor, two: tuple[Import, Import]
) -> None:
    first, second = two
    add_run(sensor.instance, FAILURE, import_id=first.import_id)
    for _ in range(2):
        add_run(sensor.instance, SUCCESS, import_id=second.import_id)
    asked = [(request.run_key, request.tags.get("dagster/priority")) for request in sensor.tick().run_requests or []]
    assert asked == [(f"{first.import_id}/2", "3"), (f"{second.import_id}/3", "3")]


def test_r40_to_come_too_early_is_no_failure(sensor: Sensor, two: tuple[Import, Import]) -> None:
    first, second = two
    for _ in range(5):
        add_run(sensor.instance, SUCCESS, import_id=second.import_id)
    with sensor.store.engine.begin() as connection:
        update_import(connection, first.import_id, status=Status.APPLIED)
    assert sensor.requested() == [f"{second.import_id}/6"]
    assert sensor.entry(second.import_id).status == "received"


def test_r40_a_run_out_of_its_turn_does_nothing_and_succeeds(sensor: Sensor, two: tuple[Import, Import]) -> None:
    first, second = two
    assert run(sensor, second, BY_SENSOR) == []
    assert sensor.entry(second.import_id).status == "received"
    stages = ["raw_file", "validated_rows", "match_plan", "applied_updates"]
    assert run(sensor, first, BY_SENSOR) == stages
    assert run(sensor, second, BY_SENSOR) == stages
    assert [sensor.entry(entry.import_id).status for entry in two] == ["applied", "applied"]


def test_people_may_run_an_import_out_of_its_turn(sensor: Sensor, two: tuple[Import, Import]) -> None:
    assert len(run(sensor, two[1], {})) == 4
    assert [sensor.entry(entry.import_id).status for entry in two] == ["received", "applied"]


def run(sensor: Sensor, entry: Import, tags: dict[str, str]) -> list[str]:
    """Run an import to its end; returns the assets that were materialized."""
    job = import_definitions().resolve_job_def(IMPORT_CONTACTS)
    sensor.instance.add_dynamic_partitions("import_id", [entry.import_id])
    result = job.execute_in_process(instance=sensor.instance, partition_key=entry.import_id, tags=tags)
    assert result.success
    return [event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key]


def test_r40_a_failed_or_waiting_import_is_nobody_to_wait_for(sensor: Sensor, two: tuple[Import, Import]) -> None:
    first, second = two
    with sensor.store.engine.begin() as connection:
        for status in Status:
            update_import(connection, first.import_id, status=status)
            assert is_preceded(connection, second) == (status in ("received", "validated", "planned"))
            assert not is_preceded(connection, first)


def test_r40_imports_of_other_automations_and_by_hand_do_not_precede(
    sensor: Sensor, two: tuple[Import, Import], folder: Path
) -> None:
    automations = sensor.store.settings.automations_file
    automations.write_text(AUTOMATIONS + AUTOMATIONS.partition("automations:\n")[2].replace("crm", "shop"))
    (folder.parent / "shop").mkdir()
    late = sensor.take(folder.parent / "shop" / "late.csv")
    with sensor.store.engine.begin() as connection:
        assert not is_preceded(connection, late)
        update_import(connection, two[0].import_id, automation=None)
        assert not is_preceded(connection, two[1])
        update_import(connection, late.import_id, automation=None)
        assert not is_preceded(connection, sensor.entry(late.import_id))


def test_r40_of_two_with_the_same_time_the_name_decides(sensor: Sensor, two: tuple[Import, Import]) -> None:
    """As the queue has them: by code points, whatever the collation of the database is."""
    for earlier, later in (("B.csv", "a.csv"), ("a.csv", "ä.csv"), ("a-b.csv", "aa.csv")):
        with sensor.store.engine.begin() as connection:
            for entry, name in zip(two, (later, earlier), strict=True):
                update_import(connection, entry.import_id, modified_at=two[0].modified_at, file=name)
            one, other = (find_import(connection, entry.import_id) for entry in two)
            assert (is_preceded(connection, one), is_preceded(connection, other)) == (True, False)
