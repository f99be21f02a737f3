"""Retention at a moment of the test's choice."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from sqlalchemy import Date, cast, func, select, update

from engage_etl.retention.retention import KindResult, run_retention
from engage_etl.settings import Settings
from engage_etl.store.engine import Store
from engage_etl.store.tables import SCHEMA, import_register, plan_row


class NoRuns:
    """Imports by the test's own hand have no Dagster runs."""

    def counts(self, import_ids: Collection[str]) -> dict[str, int]:
        return dict.fromkeys(import_ids, 0)

    def remove(self, import_id: str) -> None:
        pass

    def remove_others(self, before: datetime, *, dry_run: bool) -> int:
        return 0


def retain(store: Store, days: float, *, dry_run: bool = False) -> dict[str, KindResult]:
    """Retention as it will be so many days from now."""
    later = datetime.now(UTC) + timedelta(days=days)
    return {result.kind: result for result in run_retention(store, NoRuns(), dry_run=dry_run, now=later)}


def age(store: Store, import_id: str, days: float) -> None:
    """As if the import had ended so many days ago."""
    ended = func.now() - func.make_interval(0, 0, 0, days)
    with store.engine.begin() as connection:
        connection.execute(
            update(import_register).where(import_register.c.import_id == import_id).values(ended_at=ended)
        )


def plan_on(store: Store, import_id: str, day: str) -> None:
    """As if the import had been planned on that day, in the month of that day."""
    with store.engine.begin() as connection:
        month = cast(day, Date)
        connection.execute(select(getattr(func, SCHEMA).make_partitions(month, month)))
        connection.execute(update(plan_row).where(plan_row.c.import_id == import_id).values(planned_on=day))


def with_settings(store: Store, **values: object) -> Store:
    """The same store under other settings."""
    return Store(store.engine, Settings(**store.settings.model_dump() | values))
