"""One Dagster schedule for each automation with a cron line; daylight saving time is handled as Dagster does."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from engage_etl.settings import Settings
from engage_etl.triggers.cron import ticks
from engage_etl.triggers.jobs import import_definitions
from engage_etl.triggers.schedules import automation_schedules
from engage_etl_tests.importing import Importing

BERLIN = "Europe/Berlin"
AUTOMATIONS = """
automations:
  - {name: nightly-crm, group: Newsletter, source: drop/nightly, schedule: "30 2 * * *", time-zone: Europe/Berlin}
  - {name: shop, group: Newsletter, source: drop/shop}
  - {name: hourly, group: Newsletter, source: drop/hourly, schedule: "@hourly", active: false}
  - {name: wrong, group: Newsletter, source: drop/wrong, schedule: "at night"}
"""


@pytest.fixture
def schedules(settings: Settings) -> dict[str, dg.ScheduleDefinition]:
    settings.root.mkdir(parents=True, exist_ok=True)
    settings.automations_file.write_text(AUTOMATIONS)
    return {schedule.name: schedule for schedule in automation_schedules(settings)}


def test_one_schedule_for_each_automation_with_a_cron_line(schedules: dict[str, dg.ScheduleDefinition]) -> None:
    found = {name: (one.cron_schedule, one.execution_timezone, one.job_name) for name, one in schedules.items()}
    assert found == {
        "nightly_crm": ("30 2 * * *", BERLIN, "import_contacts"),
        "hourly": ("@hourly", "UTC", "import_contacts"),
    }


def test_one_that_is_not_active_is_stopped(schedules: dict[str, dg.ScheduleDefinition]) -> None:
    assert {name: one.default_status.value for name, one in schedules.items()} == {
        "nightly_crm": "RUNNING",
        "hourly": "STOPPED",
    }


def test_a_tick_asks_for_runs_of_the_job(
    importing: Importing, dagster_settings: Settings, instance: dg.DagsterInstance
) -> None:
    source = dagster_settings.drop_dir / "nightly"
    source.mkdir(parents=True)
    dagster_settings.automations_file.write_text(AUTOMATIONS)
    (source / "a.csv").write_text("user.Email\na@x.org\n")
    [schedule, _] = automation_schedules(dagster_settings)
    definitions = dg.Definitions.merge(import_definitions(), dg.Definitions(schedules=[schedule]))
    repository = definitions.get_repository_def()
    with dg.build_schedule_context(instance=instance, repository_def=repository) as context:
        data = schedule.evaluate_tick(context)
    [request] = data.run_requests or []
    [entry] = [importing.entry(str(request.partition_key))]
    assert (request.run_key, entry.file) == (f"{entry.import_id}/1", "a.csv")
    assert request.tags["dagster/schedule_name"] == "nightly_crm"
    result = definitions.resolve_job_def("import_contacts").execute_in_process(
        instance=instance, partition_key=entry.import_id, tags=request.tags
    )
    assert result.success
    assert importing.column("email") == [("a@x.org",)]


@pytest.mark.parametrize(
    ("cron", "day", "moments"),
    [
        # 29 March 2026: clocks go from 2:00 to 3:00. What is due in between is due at 3:00.
        ("30 2 * * *", (2026, 3, 28), ["03-28T02:30+01:00", "03-29T03:00+02:00", "03-30T02:30+02:00"]),
        ("30 * * * *", (2026, 3, 29), ["03-29T00:30+01:00", "03-29T01:30+01:00", "03-29T03:30+02:00"]),
        ("0 3 * * *", (2026, 3, 29), ["03-29T03:00+02:00", "03-30T03:00+02:00"]),
        # 25 October 2026: clocks go from 3:00 to 2:00. Once a day is once, the second time; each hour is each hour.
        ("30 2 * * *", (2026, 10, 24), ["10-24T02:30+02:00", "10-25T02:30+01:00", "10-26T02:30+01:00"]),
        ("30 * * * *", (2026, 10, 25), ["10-25T00:30+02:00", "10-25T01:30+02:00", "10-25T02:30+02:00", "10-25T02:30+01:00"]),
        ("0 4 * * MON,SUN", (2026, 10, 25), ["10-25T04:00+01:00", "10-26T04:00+01:00"]),
    ],
)  # fmt: skip
def test_changes_of_daylight_saving_time(cron: str, day: tuple[int, int, int], moments: list[str]) -> None:
    start = datetime(*day, tzinfo=ZoneInfo(BERLIN))
    found = [moment.isoformat(timespec="minutes")[5:] for moment in _first(cron, start, len(moments))]
    assert found == moments


def _first(cron: str, start: datetime, count: int) -> list[datetime]:
    return list(islice(ticks(cron, BERLIN, start), count))
