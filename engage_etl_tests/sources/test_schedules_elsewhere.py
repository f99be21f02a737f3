"""R40: S3 and SFTP sources with a schedule, the command that imports what waits there, and connections that are lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import dagster as dg
import pytest

from engage_etl.errors import SourceUnavailable
from engage_etl.settings import Settings
from engage_etl.sources.s3 import S3Files
from engage_etl.store import reconnecting
from engage_etl.store.engine import Store
from engage_etl.triggers import schedule_tick
from engage_etl.triggers.arrivals import see_waiting, take_seen
from engage_etl.triggers.automations import Automation, load_automations
from engage_etl.triggers.resources import Progress
from engage_etl.triggers.run_import import list_runs, run_imports
from engage_etl.triggers.schedule_tick import tick
from engage_etl_tests.cli.commands import engage_etl
from engage_etl_tests.importing import Importing
from engage_etl_tests.sources.dropping import Drops
from engage_etl_tests.sources.services import Bucket, SftpServer
from engage_etl_tests.triggers.conftest import dagster_settings, instance
from engage_etl_tests.triggers.dropping import Sensor

__all__ = ["dagster_settings", "instance"]

AUTOMATIONS = """
automations:
  - name: nightly
    group: Newsletter
    source: {source}
    pattern: "*.csv"
    schedule: "0 2 * * *"
    additional-parameters:
      source-use-customeridentifier: "true"
"""
CONTENT = "user.Identifier,user.Email\n1,{address}\n"


@dataclass
class Nightly:
    """The schedule ``nightly`` of a source elsewhere."""

    store: Store
    instance: dg.DagsterInstance
    warnings: list[str] = field(default_factory=list)

    @property
    def automation(self) -> Automation:
        [found], errors = load_automations(self.store.settings.automations_file, self.store.settings.root)
        assert errors == []
        return found

    def tick(self) -> list[dg.RunRequest] | dg.SkipReason:
        return tick(self.instance, self.store.settings, self.automation, self.warnings.append)

    def files(self) -> list[str]:
        """The files of the runs that a tick asks for."""
        asked = self.tick()
        return [str(request.tags["file"]) for request in asked] if isinstance(asked, list) else []


def nightly(store: Store, settings: Settings, instance: dg.DagsterInstance, source: str) -> Nightly:
    settings = settings.model_copy(update={"settle_time": 0.05})
    settings.root.mkdir(parents=True, exist_ok=True)
    settings.automations_file.write_text(AUTOMATIONS.format(source=source))
    return Nightly(replace(store, settings=settings), instance)


@pytest.fixture
def at_s3(store: Store, dagster_settings: Settings, bucket: Bucket, instance: dg.DagsterInstance) -> Nightly:
    settings = dagster_settings.model_copy(update={"s3_endpoint_url": bucket.endpoint})
    return nightly(store, settings, instance, f"s3://{bucket.name}/in")


def test_r40_a_scheduled_s3_source_is_the_affair_of_its_schedule(at_s3: Nightly, bucket: Bucket) -> None:
    for name in ("in/a.csv", "in/b.csv", "in/c.xml"):
        bucket.put(name)
    sensor = Sensor(at_s3.store, at_s3.instance)
    assert sensor.requested() == []
    assert bucket.list_keys() == ["in/a.csv", "in/b.csv", "in/c.xml"]
    asked = at_s3.tick()
    assert isinstance(asked, list)
    assert [request.tags["file"] for request in asked] == ["a.csv", "b.csv"]
    claimed = [f"in/.claimed/{request.partition_key}/{request.tags['file']}" for request in asked]
    assert bucket.list_keys() == sorted([*claimed, "in/c.xml"])
    assert at_s3.files() == [] and sensor.requested() == []


def test_r40_a_scheduled_sftp_source(
    store: Store, dagster_settings: Settings, sftp: SftpServer, instance: dg.DagsterInstance
) -> None:
    at_sftp = nightly(store, dagster_settings.model_copy(update=sftp.settings()), instance, sftp.url)
    for name, modified in (("late.csv", 2), ("early.csv", 1)):
        (sftp.folder / name).write_text(CONTENT.format(address="a@x.org"))
        os.utime(sftp.folder / name, (modified, modified))
    assert Sensor(at_sftp.store, instance).requested() == []
    assert at_sftp.files() == ["early.csv", "late.csv"]


def test_a_claim_that_a_killed_tick_began_is_finished(at_s3: Nightly, bucket: Bucket) -> None:
    drops = Drops(at_s3.store, f"s3://{bucket.name}/in")
    bucket.put("in/a.csv")
    begun = drops.begun("a.csv")
    Sensor(at_s3.store, at_s3.instance).tick()
    assert drops.entry(begun.import_id).is_claimed


def test_a_scheduled_source_that_does_not_answer_fails_the_tick(at_s3: Nightly) -> None:
    silent = at_s3.store.settings.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:1"})
    at_s3.store = replace(at_s3.store, settings=silent)
    with pytest.raises(SourceUnavailable, match="does not answer"):
        at_s3.tick()


def test_a_tick_that_has_lasted_long_asks_s3_no_more(
    at_s3: Nightly, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("in/a.csv")
    monkeypatch.setattr(schedule_tick, "_PATIENCE_ELSEWHERE", 0.0)
    skipped = at_s3.tick()
    assert isinstance(skipped, dg.SkipReason) and "has to wait" in str(skipped.skip_message)
    assert bucket.list_keys() == ["in/a.csv"]


def test_what_came_since_it_was_looked_is_not_meant(at_s3: Nightly, bucket: Bucket) -> None:
    bucket.put("in/a.csv")
    seen = see_waiting(at_s3.store, [at_s3.automation])
    bucket.put("in/b.csv")
    taken, left = take_seen(at_s3.store, [at_s3.automation], seen, until=0.0)
    assert len(taken) == 1
    assert list(left) == [f"s3://{bucket.name}/in/b.csv"]


def test_r40_automations_run_imports_what_waits_at_s3(at_s3: Nightly, bucket: Bucket, importing: Importing) -> None:
    bucket.put("in/a.csv", CONTENT.format(address="a@x.org"))
    ended = engage_etl(at_s3.store.settings, "automations", "run", "nightly", "--json")
    assert (ended.code, [(one["file"], one["status"]) for one in ended.json]) == (0, [("a.csv", "applied")])
    assert importing.column("email") == [("a@x.org",)]
    assert bucket.list_keys() == [f"in/done/nightly/{ended.json[0]['import_id']}/a.csv"]
    again = engage_etl(at_s3.store.settings, "automations", "run", "nightly")
    assert (again.code, f"No file waits in s3://{bucket.name}/in." in again.err) == (0, True)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Seconds that somebody would have waited."""
    waited: list[float] = []

    class Waits:
        sleep = staticmethod(waited.append)
        monotonic = staticmethod(float)

    monkeypatch.setattr(reconnecting, "time", Waits)
    yield waited


@pytest.mark.parametrize(("is_passing", "status", "expected"), [(True, "applied", [1.0, 2.0]), (False, "received", [])])
def test_a_connection_to_s3_that_is_lost_is_tried_again_and_nothing_else(
    at_s3: Nightly, bucket: Bucket, importing: Importing, pauses: list[float], monkeypatch: pytest.MonkeyPatch,
    is_passing: bool, status: str, expected: list[float],
) -> None:  # fmt: skip
    read, breaks = S3Files._range, iter([True, True])

    def break_off(files: S3Files, *arguments: object) -> bytes:
        if next(breaks, False):
            raise SourceUnavailable("broke off", is_passing=is_passing)
        return read(files, *arguments)  # type: ignore[arg-type]

    bucket.put("in/a.csv")
    drops = Drops(at_s3.store, f"s3://{bucket.name}/in")
    [entry] = drops.take()
    monkeypatch.setattr(S3Files, "_range", break_off)
    monkeypatch.setenv("ENGAGE_S3_ENDPOINT_URL", bucket.endpoint)
    run_imports(at_s3.store.settings, [entry], Progress())
    assert (drops.entry(entry.import_id).status, pauses) == (status, expected)
    [run] = list_runs(at_s3.instance, entry.import_id)
    logs = at_s3.instance.all_logs(run.run_id)
    assert sum("It is asked again" in log.user_message for log in logs) == len(expected)
