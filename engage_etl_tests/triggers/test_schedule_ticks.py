"""R40: a tick of a schedule imports the files that wait at its source, in their order, each once whatever is killed."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import func, update

from engage_etl.errors import StoreUnavailable
from engage_etl.settings import Settings
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, list_imports
from engage_etl.store.tables import import_register
from engage_etl.triggers import arrivals, schedule_tick
from engage_etl.triggers.automations import load_automations
from engage_etl.triggers.outbox import HEAD_START
from engage_etl.triggers.schedule_tick import tick
from engage_etl_tests.triggers.dropping import Sensor, add_run

NIGHTLY = """
automations:
  - name: nightly-crm
    group: Newsletter
    source: drop/nightly
    pattern: "*.csv"
    schedule: "0 2 * * *"
    time-zone: Europe/Berlin
"""
CONTENT = "user.Email\na@x.org\n"


@pytest.fixture
def settings(dagster_settings: Settings) -> Settings:
    return dagster_settings.model_copy(update={"settle_time": 0.05, "connection_retry_pause": 0.01})


@pytest.fixture
def nightly(settings: Settings, instance: dg.DagsterInstance, store: Store) -> Ticking:
    settings.automations_file.write_text(NIGHTLY)
    (settings.drop_dir / "nightly").mkdir(parents=True)
    return Ticking(settings, instance, store)


class Ticking:
    """The schedule ``nightly_crm``."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance, store: Store) -> None:
        self.settings, self.instance, self.store = settings, instance, store
        self.folder = settings.drop_dir / "nightly"
        [self.known], _ = load_automations(settings.automations_file, settings.root)
        self.warnings: list[str] = []

    def drop(self, name: str, modified: int = 1) -> Path:
        (self.folder / name).write_text(CONTENT)
        os.utime(self.folder / name, (modified, modified))
        return self.folder / name

    def tick(self) -> list[dg.RunRequest] | dg.SkipReason:
        return tick(self.instance, self.settings, self.known, self.warnings.append)

    def files(self) -> list[str]:
        """The files of the runs that a tick asks for."""
        asked = self.tick()
        return [str(request.tags["file"]) for request in asked] if isinstance(asked, list) else []

    def reason(self) -> str:
        """Why a tick is skipped."""
        skipped = self.tick()
        assert isinstance(skipped, dg.SkipReason), skipped
        return str(skipped.skip_message)

    def change(self, old: str, new: str) -> None:
        self.settings.automations_file.write_text(NIGHTLY.replace(old, new))

    def registered(self) -> list[Import]:
        with self.store.engine.connect() as connection:
            return list_imports(connection)

    def grow_older(self) -> None:
        """As if everything had been registered longer ago than a schedule has for asking."""
        with self.store.engine.begin() as connection:
            connection.execute(update(import_register).values(received_at=func.now() - HEAD_START))


def test_r40_all_that_waits_is_imported_by_modification_time_then_name(nightly: Ticking) -> None:
    for name, modified in (("c.csv", 1), ("a.csv", 2), ("B.csv", 2), ("0.csv", 3), ("other.xml", 0)):
        nightly.drop(name, modified)
    asked = nightly.tick()
    assert isinstance(asked, list)
    assert [request.tags["file"] for request in asked] == ["c.csv", "B.csv", "a.csv", "0.csv"]
    by_file = {entry.file: entry for entry in nightly.registered()}
    assert [request.run_key for request in asked] == [f"{by_file[one.tags['file']].import_id}/1" for one in asked]
    assert {request.tags["automation"] for request in asked} == {"nightly-crm"}
    partitions = nightly.instance.get_dynamic_partitions("import_id")
    assert {request.partition_key for request in asked} == set(partitions)
    assert [path.name for path in nightly.folder.iterdir() if path.is_file()] == ["other.xml"]


def test_nothing_that_waits_is_a_reason_to_skip(nightly: Ticking) -> None:
    assert nightly.reason() == f"no file waits in {nightly.folder}"
    nightly.folder.rmdir()
    assert nightly.reason() == f"no file waits in {nightly.folder}"


def test_r27_a_file_that_grows_waits_for_the_next_tick(nightly: Ticking, monkeypatch: pytest.MonkeyPatch) -> None:
    growing = nightly.drop("growing.csv")
    nightly.drop("whole.csv")

    def grow(_: float) -> None:
        growing.write_text(growing.read_text() + CONTENT)

    monkeypatch.setattr(schedule_tick.time, "sleep", grow)
    nightly.settings = nightly.settings.model_copy(update={"settle_time": 1e-4})
    assert nightly.files() == ["whole.csv"]
    assert "growing.csv; they wait for the next tick of nightly-crm" in nightly.warnings[0]
    assert "growing.csv" in nightly.reason()
    monkeypatch.undo()
    assert nightly.files() == ["growing.csv"]


def test_r27_a_file_that_is_open_for_writing_waits(nightly: Ticking) -> None:
    with nightly.drop("open.csv").open("a"):
        assert "open.csv" in nightly.reason()
    assert nightly.files() == ["open.csv"]


def test_the_sensor_leaves_the_files_of_a_schedule_alone(nightly: Ticking) -> None:
    nightly.drop("a.csv")
    result = Sensor(nightly.store, nightly.instance).tick()
    assert result.run_requests == []
    assert result.skip_reason is not None and result.skip_reason.skip_message == "no file has arrived"
    assert nightly.registered() == []


def test_r40_nobody_asks_twice_for_the_run_of_a_file(nightly: Ticking) -> None:
    nightly.drop("a.csv")
    assert nightly.files() == ["a.csv"]
    assert nightly.files() == []
    assert Sensor(nightly.store, nightly.instance).requested() == []


def test_r40_a_request_that_was_lost_in_a_crash_is_made_up_for_by_the_sensor(nightly: Ticking) -> None:
    nightly.drop("a.csv")
    nightly.tick()
    nightly.grow_older()
    [entry] = nightly.registered()
    sensor = Sensor(nightly.store, nightly.instance)
    assert sensor.requested() == [f"{entry.import_id}/1"]
    add_run(nightly.instance, dg.DagsterRunStatus.NOT_STARTED, import_id=entry.import_id)
    assert sensor.requested() == []


def test_r40_the_sensor_asks_again_at_once_for_a_run_that_died(nightly: Ticking) -> None:
    nightly.drop("a.csv")
    nightly.tick()
    [entry] = nightly.registered()
    add_run(nightly.instance, dg.DagsterRunStatus.FAILURE, import_id=entry.import_id)
    assert Sensor(nightly.store, nightly.instance).requested() == [f"{entry.import_id}/2"]


def test_an_automation_that_is_not_active_any_more_takes_nothing(nightly: Ticking) -> None:
    file = nightly.drop("a.csv")
    nightly.change("pattern", "active: false\n    pattern")
    assert nightly.reason() == "the automation 'nightly-crm' is not active"
    nightly.change("name: nightly-crm", "name: other")
    assert "has no automation 'nightly-crm'" in nightly.reason()
    nightly.change("group", "grup")
    assert "has no automation 'nightly-crm' that is right; automations.yaml, line " in nightly.reason()
    assert file.exists()


@pytest.mark.parametrize(
    ("old", "new"), [("0 2 * * *", "0 3 * * *"), ("Europe/Berlin", "UTC"), ('"0 2 * * *"', "on-arrival")]
)
def test_a_tick_of_a_time_that_is_not_meant_any_more_takes_nothing(nightly: Ticking, old: str, new: str) -> None:
    file = nightly.drop("a.csv")
    nightly.change(old, new)
    assert "says another time" in nightly.reason()
    assert file.exists()


def test_what_else_has_changed_in_the_file_holds_at_once(nightly: Ticking) -> None:
    nightly.drop("a.csv")
    nightly.change("Newsletter", "Customers")
    nightly.tick()
    assert [entry.group_name for entry in nightly.registered()] == ["Customers"]


def test_a_store_that_does_not_come_back_fails_the_tick(nightly: Ticking) -> None:
    gone = nightly.settings.model_copy(
        update={"database_url": "postgresql://nobody@127.0.0.1:1/engage", "connection_retries": 2}
    )
    nightly.settings = gone
    with pytest.raises(StoreUnavailable, match="does not answer"):
        nightly.tick()


def test_a_tick_waits_while_somebody_else_looks(nightly: Ticking, monkeypatch: pytest.MonkeyPatch) -> None:
    nightly.drop("a.csv")
    waits: list[float] = []
    with arrivals._only_look(nightly.store) as is_ours:
        assert is_ours
        monkeypatch.setattr(schedule_tick, "_LONGEST_TICK", 0.0)
        assert "another process has been looking" in nightly.reason()
        assert (nightly.folder / "a.csv").exists()
    monkeypatch.undo()

    def end_of_the_other_look(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            look.__exit__(None, None, None)

    look = arrivals._only_look(nightly.store)
    look.__enter__()
    monkeypatch.setattr(arrivals.time, "sleep", end_of_the_other_look)
    nightly.settings = nightly.settings.model_copy(update={"settle_time": 0.0})
    assert nightly.files() == ["a.csv"]
    assert len(waits) >= 3
