"""The daily housekeeping makes the months to come and gathers statistics, as a Dagster job with a schedule."""

from __future__ import annotations

import dagster as dg
import pytest
from sqlalchemy import insert, text

from engage_etl.store.engine import Store
from engage_etl.store.partitions import MONTHS_AHEAD, is_partition
from engage_etl.store.tables import plan_row
from engage_etl.triggers import housekeeping
from engage_etl.triggers.jobs import import_definitions


@pytest.fixture
def job(store: Store, monkeypatch: pytest.MonkeyPatch) -> dg.JobDefinition:
    assert store.settings.database_url is not None
    monkeypatch.setenv("ENGAGE_DATABASE_URL", store.settings.database_url)
    monkeypatch.setenv("ENGAGE_DATA_DIR", str(store.settings.data_dir))
    together = dg.Definitions.merge(import_definitions(), housekeeping.housekeeping_definitions())
    return together.get_job_def(housekeeping.HOUSEKEEPING)


def last_month(store: Store) -> set[str]:
    with store.engine.connect() as connection:
        month = connection.scalar(text("SELECT to_char(now() + make_interval(0, :n), '_YYYY_MM')"), {"n": MONTHS_AHEAD})
        names = set(connection.scalars(text("SELECT relname FROM pg_class")))
    return {name for name in names if is_partition(name) and name.endswith(str(month))}


def test_it_makes_the_months_to_come(store: Store, job: dg.JobDefinition) -> None:
    with store.engine.begin() as connection:
        for name in last_month(store):
            connection.execute(text(f"DROP TABLE engage.{name}"))
    assert last_month(store) == set()
    assert job.execute_in_process().success
    assert len(last_month(store)) == 2


def test_it_gathers_statistics_over_all_months(store: Store, job: dg.JobDefinition) -> None:
    known = text("SELECT count(*) FROM pg_stats WHERE schemaname = 'engage' AND tablename = 'plan_row' AND inherited")
    with store.engine.begin() as connection:
        connection.execute(insert(plan_row).values(import_id="a", row=2, outcome="created"))
        assert connection.scalar(known) == 0
    assert job.execute_in_process().success
    with store.engine.connect() as connection:
        assert (connection.scalar(known) or 0) > 0


def test_the_schedule_is_on(job: dg.JobDefinition) -> None:
    [schedule] = housekeeping.housekeeping_definitions().schedules or []
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert (schedule.job_name, schedule.cron_schedule) == ("housekeeping", "30 3 * * *")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
