"""Which imports are so old that something of them goes (R42, decision 0017)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, and_, func, or_, select
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from engage_etl.settings import Settings
from engage_etl.store.imports import Import, list_imports
from engage_etl.store.removals import Kind
from engage_etl.store.tables import import_register, removal
from engage_etl.vocabulary.outcomes import Status

SETTINGS = {
    Kind.RAW_FILE: "keep_raw_files_days",
    Kind.STAGE_FILES: "keep_stage_files_days",
    Kind.REPORT: "keep_reports_days",
    Kind.SETTLED_FILE: "keep_settled_files_days",
    Kind.PLAN: "keep_plans_days",
    Kind.RUNS: "keep_runs_days",
}
"""The setting that says for how long each kind is kept."""

_MAY_HAVE_ENDED = (*(status for status in Status if status.has_ended), Status.PLANNED)


@dataclass(frozen=True)
class Period:
    """For how long a kind is kept. days: after the end of the import; None: for ever; before: of imports that ended so long ago."""

    kind: Kind
    days: int | None
    before: datetime | None

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"ENGAGE_{SETTINGS[self.kind].upper()}"

    @property
    def cause(self) -> str:
        """How it is named where people ask for what is gone."""
        return f"retention ({self.variable}={self.days})"


def periods(settings: Settings, now: datetime | None = None) -> list[Period]:
    """How long each kind is kept, as the settings say."""
    moment = now or datetime.now(UTC)
    found = []
    for kind, name in SETTINGS.items():
        days: int | None = getattr(settings, name)
        found.append(Period(kind, days, None if days is None else moment - timedelta(days=days)))
    return found


def due_imports(connection: Connection, period: Period) -> list[Import]:
    """The imports of which this kind is to be removed, the oldest first; those that have not ended are never among them."""
    if period.before is None:
        return []
    columns, gone = import_register.c, removal.c
    is_gone = select(gone.import_id).where(
        gone.import_id == columns.import_id, gone.kind == period.kind, gone.ended_at.is_not(None)
    )
    conditions: list[ColumnElement[bool]] = [_ended_before(import_register.c, period.before), ~is_gone.exists()]
    if period.kind is Kind.SETTLED_FILE:
        conditions += [columns.settled_path.is_not(None), ~_is_needed_by_another(period.before)]
    due: set[str] = set(connection.scalars(select(columns.import_id).where(*conditions)))
    return [entry for entry in reversed(list_imports(connection, statuses=_MAY_HAVE_ENDED)) if entry.import_id in due]


def _ended_before(columns: ReadOnlyColumnCollection[str, Column[Any]], moment: datetime) -> ColumnElement[bool]:
    # A dry run has ended with its plan.
    has_ended = and_(
        columns.status.in_(_MAY_HAVE_ENDED), or_(columns.status != Status.PLANNED, columns.ended_at.is_not(None))
    )
    return and_(has_ended, func.coalesce(columns.ended_at, columns.received_at) < moment)


def _is_needed_by_another(moment: datetime) -> ColumnElement[bool]:
    """Whether another import of the same archive has not ended long enough ago: the file is theirs too."""
    other = import_register.alias("other")
    return (
        select(other.c.import_id)
        .where(other.c.claimed_path == import_register.c.claimed_path, ~_ended_before(other.c, moment))
        .exists()
    )
