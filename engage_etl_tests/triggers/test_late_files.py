"""A file of a scheduled automation that did not come warns, on time and once, and is forgotten when it comes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, ScheduleInstigatorData
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from engage_etl.settings import Settings
from engage_etl.store.engine import Store
from engage_etl.store.imports import register_import, update_import
from engage_etl.triggers.automations import Automation, load_automations
from engage_etl.triggers.expected_files import FileVerdict, judge, latest_due, why_nothing_is_due
from engage_etl.triggers.late_files import FILE_CAME, asset_key, late_files_definitions, look
from engage_etl.vocabulary.options import ImportOptions

AUTOMATIONS = """
automations:
  - {name: nightly-crm, group: Newsletter, source: drop/nightly, schedule: "0 2 * * *", time-zone: Europe/Berlin}
  - {name: dropped, group: Newsletter, source: drop/dropped}
"""
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
TWO = datetime(2026, 6, 10, 0, 0, tzinfo=UTC)
"""02:00 in Berlin, in summer."""
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


@pytest.fixture
def nightly(settings: Settings) -> Automation:
    settings.root.mkdir(parents=True, exist_ok=True)
    settings.automations_file.write_text(AUTOMATIONS)
    automations, errors = load_automations(settings.automations_file, settings.root)
    assert not errors
    return automations[0]


def verdict(
    automation: Automation, latest: datetime | None, now: datetime, since: datetime | None = LONG_AGO
) -> FileVerdict:
    return why_nothing_is_due(automation, since, now) or judge(automation, latest, now)


def test_a_file_is_late_a_quarter_of_an_hour_after_its_time(nightly: Automation) -> None:
    yesterday = TWO - DAY + MINUTE
    assert not verdict(nightly, yesterday, TWO + 14 * MINUTE).is_late
    late = verdict(nightly, yesterday, TWO + 15 * MINUTE)
    assert (late.is_late, late.due) == (True, TWO)
    assert "no file came for 2026-06-10 02:00 (Europe/Berlin)" in late.finding
    assert "the latest was registered 2026-06-09 02:01" in late.finding
    assert "`engage-etl automations run nightly-crm`" in late.finding


@pytest.mark.parametrize("registered", [TWO, TWO + 5 * MINUTE, TWO + 600 * MINUTE, TWO - 60 * MINUTE])
def test_a_file_that_came_in_time_or_late_or_was_imported_by_hand_before_is_there(
    nightly: Automation, registered: datetime
) -> None:
    assert not verdict(nightly, registered, TWO + 700 * MINUTE).is_late


def test_the_file_of_the_day_before_is_no_file_of_today(nightly: Automation) -> None:
    assert verdict(nightly, TWO - DAY + 14 * MINUTE, TWO + 60 * MINUTE).is_late
    assert verdict(nightly, None, TWO + 60 * MINUTE).is_late


def test_nothing_is_expected_before_its_schedule_is_on_or_while_it_is_off(nightly: Automation) -> None:
    now = TWO + 60 * MINUTE
    assert not verdict(nightly, None, now, since=TWO + MINUTE).is_late
    assert not verdict(nightly, None, now, since=None).is_late
    assert not verdict(Automation(**{**nightly.__dict__, "is_active": False}), None, now).is_late
    assert verdict(nightly, None, now + DAY, since=TWO + MINUTE).is_late


def test_where_times_are_close_together_half_of_the_time_between_them_is_grace(nightly: Automation) -> None:
    often = Automation(**{**nightly.__dict__, "cron": "*/10 * * * *"})
    due = latest_due(often, TWO + 5 * MINUTE)
    assert due is not None and (due.at, due.counts_from) == (TWO, TWO - 5 * MINUTE)
    before = latest_due(often, TWO + 4 * MINUTE)
    assert before is not None and before.at == TWO - 10 * MINUTE


def test_when_clocks_are_put_back_time_is_not(nightly: Automation) -> None:
    often = Automation(**{**nightly.__dict__, "cron": "*/20 * * * *"})
    two_again = datetime(2026, 10, 25, 1, 0, tzinfo=UTC)
    due = latest_due(often, two_again + 10 * MINUTE)
    assert due is not None and (due.at, due.counts_from) == (two_again, two_again - 10 * MINUTE)


@dataclass
class Looking:
    """The sensor with a clock of its own."""

    settings: Settings
    instance: dg.DagsterInstance
    store: Store
    cursor: str | None = None
    reasons: list[str] = field(default_factory=list)

    def at(self, now: datetime) -> list[bool]:
        """Look at a moment; for each thing that is reported, whether it is good."""
        result = look(self.instance, self.settings, self.cursor, now)
        self.cursor = result.cursor
        events = [event for event in result.asset_events if isinstance(event, dg.AssetCheckEvaluation)]
        self.reasons.append(str(result.skip_reason))
        assert all(event.severity is dg.AssetCheckSeverity.WARN for event in events)
        for event in events:
            self.instance.report_runless_asset_event(event)
        return [event.passed for event in events]

    def register(self, at: datetime) -> None:
        with self.store.engine.begin() as connection:
            given = ImportOptions(group="Newsletter")
            source = self.settings.drop_dir / "nightly" / "a.csv"
            import_id = register_import(connection, source, given, automation="nightly-crm")
            update_import(connection, import_id, received_at=at)


@pytest.fixture
def looking(dagster_settings: Settings, instance: dg.DagsterInstance, store: Store, nightly: Automation) -> Looking:
    origin = RemoteInstigatorOrigin(
        repository_origin=RemoteRepositoryOrigin(
            code_location_origin=InProcessCodeLocationOrigin(LoadableTargetOrigin(), location_name="engage"),
            repository_name="engage",
        ),
        instigator_name=nightly.schedule_name,
    )
    data = ScheduleInstigatorData("0 2 * * *", LONG_AGO.timestamp())
    instance.add_instigator_state(
        InstigatorState(origin, InstigatorType.SCHEDULE, InstigatorStatus.DECLARED_IN_CODE, data)
    )
    return Looking(dagster_settings, instance, store)


def test_what_is_found_is_reported_once_until_it_changes(looking: Looking) -> None:
    looking.register(TWO + MINUTE)
    assert looking.at(TWO + 20 * MINUTE) == [True]
    assert [looking.at(TWO + 30 * MINUTE), looking.at(TWO + 23 * 60 * MINUTE)] == [[], []]
    assert looking.at(TWO + DAY + 16 * MINUTE) == [False]
    assert "no file came" in looking.reasons[-1]
    assert looking.at(TWO + DAY + 17 * MINUTE) == []
    looking.register(TWO + DAY + 40 * MINUTE)
    assert looking.at(TWO + DAY + 41 * MINUTE) == [True]


def test_of_a_schedule_with_many_times_a_day_the_same_is_reported_once_a_day(looking: Looking) -> None:
    text = AUTOMATIONS.replace("0 2 * * *", "*/10 * * * *")
    looking.settings.automations_file.write_text(text)
    late = [looking.at(TWO + minutes * MINUTE) for minutes in (6, 16, 26)]
    assert late == [[False], [], []]
    looking.register(TWO + 30 * MINUTE)
    assert [looking.at(TWO + 36 * MINUTE), looking.at(TWO + 46 * MINUTE)] == [[True], [False]]
    assert looking.at(TWO + DAY + 6 * MINUTE) == [False]


def test_the_check_stands_on_the_page_of_its_automation_and_people_can_have_it_made(looking: Looking) -> None:
    key = dg.AssetCheckKey(asset_key("nightly-crm"), FILE_CAME)
    assert looking.at(TWO + 20 * MINUTE) == [False]
    assert reported(looking.instance, key) is False
    looking.register(datetime.now(UTC))
    job = late_files_definitions(looking.settings).resolve_implicit_global_asset_job_def()
    [made] = job.execute_in_process(instance=looking.instance).get_asset_check_evaluations()
    assert (made.asset_check_key, made.passed) == (key, True)
    assert made.metadata["hours_since_latest_file"].value == pytest.approx(0, abs=0.1)
    assert reported(looking.instance, key) is True


def reported(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> bool:
    """What was said last about a check."""
    [record] = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    assert record.event is not None and record.event.asset_check_evaluation is not None
    return record.event.asset_check_evaluation.passed
