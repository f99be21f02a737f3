"""A look at the drop folders goes on for a while, so that a file that is dropped meanwhile is taken at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from engage_etl.store.engine import Store
from engage_etl.triggers import looking
from engage_etl_tests.triggers.dropping import Sensor

VERY_PATIENT = 60.0


@pytest.fixture
def sensor(store: Store, instance: dg.DagsterInstance) -> Sensor:
    return Sensor(store, instance)


@pytest.fixture
def when_it_waits(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Lets something happen when the look begins to wait for an arrival."""

    def let_happen(something: Callable[[], object]) -> None:
        wait = looking.wait_for_arrival

        def waiting(*given: object) -> bool:
            something()
            return wait(*given)  # type: ignore[arg-type]

        monkeypatch.setattr(looking, "wait_for_arrival", waiting)

    return let_happen


def test_a_file_that_is_dropped_while_it_lasts_is_taken_by_the_same_look(
    sensor: Sensor, folder: Path, when_it_waits: Callable[[Callable[[], object]], None]
) -> None:
    when_it_waits(lambda: (folder / "contacts.csv").write_text("user.Identifier\n1\n"))
    [request] = sensor.tick(VERY_PATIENT).run_requests or []
    assert request.tags["file"] == "contacts.csv"


def test_it_does_not_last_where_there_is_something_to_do(
    sensor: Sensor, folder: Path, when_it_waits: Callable[[Callable[[], object]], None]
) -> None:
    entry = sensor.take(folder / "contacts.csv")
    when_it_waits(lambda: pytest.fail("it waited"))
    [request] = sensor.tick(VERY_PATIENT).run_requests or []
    assert request.partition_key == entry.import_id


def test_a_file_that_cannot_be_taken_does_not_keep_it_busy(
    sensor: Sensor, folder: Path, when_it_waits: Callable[[Callable[[], object]], None]
) -> None:
    (folder / ".claimed").write_text("no folder")
    (folder / "contacts.csv").write_text("user.Identifier\n1\n")
    when_it_waits(lambda: pytest.fail("it waited"))
    reason = sensor.tick(VERY_PATIENT).skip_reason
    assert reason is not None and "contacts.csv cannot be taken" in str(reason.skip_message)


def test_a_file_that_grows_is_looked_at_again_until_the_time_is_up(
    sensor: Sensor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown: list[int] = []

    def grow(_: float) -> None:
        with (folder / "contacts.csv").open("a") as file:
            grown.append(file.write("user.Identifier\n"))

    grow(0)
    monkeypatch.setattr(looking.time, "sleep", grow)
    monkeypatch.setattr(looking.time, "monotonic", lambda: float(len(grown)))
    reason = sensor.tick(patience=5).skip_reason
    assert reason is not None and "1 file is still being written" in str(reason.skip_message)
    assert len(grown) >= 5
    assert sensor.registered() == []
