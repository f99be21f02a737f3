"""Ticks of the sensor over S3 and SFTP sources: how often they are asked, and that silent ones hold up nobody (R40)."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg
import pytest

from engage_etl.settings import Settings
from engage_etl.sources.opening import Sources
from engage_etl.sources.s3 import S3Files
from engage_etl.store.engine import Store
from engage_etl.triggers import listing, looking, looking_elsewhere
from engage_etl.triggers.looking import look_once
from engage_etl.vocabulary.locations import RemoteLocation
from engage_etl_tests.sources.services import Bucket
from engage_etl_tests.triggers.conftest import dagster_settings, instance
from engage_etl_tests.triggers.dropping import Sensor, add_run

__all__ = ["dagster_settings", "instance"]

AUTOMATIONS = """
automations:
  - name: elsewhere
    group: Newsletter
    source: s3://{bucket}/in
  - name: silent
    group: Newsletter
    source: sftp://ann@127.0.0.1:1/in
  - name: crm
    group: Newsletter
    source: drop/crm
"""


@dataclass
class Ticks(Sensor):
    """The sensor, with a clock that the test moves."""

    now: float = 1_000_000.0

    def tick(self, patience: float = 0) -> dg.SensorResult:
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor) as context:
            result = look_once(context, self.store, patience, self.now)
        self.cursor = result.cursor
        return result


@pytest.fixture
def sensor(store: Store, s3_settings: Settings, bucket: Bucket, instance: dg.DagsterInstance, tmp_path: Path) -> Ticks:
    key = tmp_path / "key"
    key.write_text("no key")
    settings = s3_settings.model_copy(update={"sftp_private_key": key})
    settings.root.mkdir(parents=True, exist_ok=True)
    settings.automations_file.write_text(AUTOMATIONS.format(bucket=bucket.name))
    return Ticks(replace(store, settings=settings), instance)


def files(result: dg.SensorResult) -> list[str]:
    return [request.tags["file"] for request in result.run_requests or []]


def test_r40_others_go_on_beside_a_source_that_is_of_no_use(sensor: Ticks, bucket: Bucket, settings: Settings) -> None:
    bucket.put("in/far.csv")
    (settings.drop_dir / "crm").mkdir(parents=True)
    (settings.drop_dir / "crm" / "near.csv").write_text("user.Email\na@x.org\n")
    assert sorted(files(sensor.tick())) == ["far.csv", "near.csv"]


def test_a_silent_source_is_named_at_each_tick_and_asked_again_after_a_minute(
    sensor: Ticks, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    opened = Sources._open

    def counted(sources: Sources, location: RemoteLocation) -> object:
        asked.append(location.scheme)
        return opened(sources, location)

    monkeypatch.setattr(Sources, "_open", counted)
    for after in (0, 5, 30, 20):
        sensor.now += after
        reason = sensor.tick().skip_reason
        assert reason is not None and "sftp://ann@127.0.0.1:1: the private key" in str(reason.skip_message)
    assert asked.count("sftp") == 1
    sensor.now += 10
    sensor.tick()
    assert asked.count("sftp") == 2


def test_a_source_is_left_in_peace_between_two_looks(
    sensor: Ticks, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings: list[str] = []
    listed = S3Files.list_files

    def counted(files: S3Files, folder: RemoteLocation) -> object:
        listings.append(str(folder))
        return listed(files, folder)

    monkeypatch.setattr(S3Files, "list_files", counted)
    for after in (0, 5, 5):
        sensor.now += after
        sensor.tick()
    assert len(listings) == 1
    sensor.now += sensor.store.settings.remote_interval
    bucket.put("in/far.csv")
    assert files(sensor.tick()) == ["far.csv"]
    sensor.tick()
    assert len(listings) == 3, "while files come, more may wait"


def test_a_tick_that_has_lasted_long_asks_no_other_source(
    sensor: Ticks, bucket: Bucket, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("in/far.csv")
    (settings.drop_dir / "crm").mkdir(parents=True)
    (settings.drop_dir / "crm" / "near.csv").write_text("user.Email\na@x.org\n")
    with monkeypatch.context() as patched:
        patched.setattr(looking, "_PATIENCE_ELSEWHERE", 0.0)
        assert files(sensor.tick()) == ["near.csv"]
    sensor.now += sensor.store.settings.remote_interval
    assert "far.csv" in files(sensor.tick())


def test_r40_an_outage_of_the_source_uses_up_no_attempts(sensor: Ticks, bucket: Bucket) -> None:
    bucket.put("in/far.csv")
    [first] = sensor.tick().run_requests or []
    answers = sensor.store
    silent = answers.settings.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:1"})
    add_run(sensor.instance, dg.DagsterRunStatus.FAILURE, import_id=first.partition_key)
    sensor.store = replace(answers, settings=silent)
    for _ in range(5):
        sensor.now += answers.settings.remote_interval
        assert files(sensor.tick()) == []
    sensor.store = answers
    sensor.now += looking_elsewhere.AFTER_SILENCE
    [second] = sensor.tick().run_requests or []
    assert second.run_key == f"{first.partition_key}/2"


def test_a_cursor_of_an_older_version_is_as_good_as_none(sensor: Ticks, bucket: Bucket) -> None:
    sensor.cursor = json.dumps({"/data/drop/crm/a.csv": {"size": 1, "modified": 1, "since": 1.0}})
    bucket.put("in/far.csv")
    assert files(sensor.tick()) == ["far.csv"]


def test_a_source_that_takes_too_long_is_not_waited_for(
    sensor: Ticks, bucket: Bucket, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    monkeypatch.setattr(S3Files, "list_files", lambda *_: answers.wait(60) and [])
    monkeypatch.setattr(listing, "_LONGEST", 0.1)
    (settings.drop_dir / "crm").mkdir(parents=True)
    (settings.drop_dir / "crm" / "near.csv").write_text("user.Email\na@x.org\n")
    try:
        assert files(sensor.tick()) == ["near.csv"]
        assert any(
            "took more than 0.1 seconds" in said for said in json.loads(sensor.cursor or "")["elsewhere"]["complaints"]
        )
    finally:
        answers.set()
