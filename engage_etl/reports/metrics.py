"""Figures of all imports as OpenMetrics, from the register: what monitoring asks for (no personal data, R41)."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry
from sqlalchemy import ColumnElement, Connection, and_, extract, func, select

from engage_etl.store.imports import BY_HAND, UNFINISHED
from engage_etl.store.tables import import_register
from engage_etl.vocabulary.outcomes import Outcome, Status

CONTENT_TYPE = CONTENT_TYPE_LATEST

_columns = import_register.c
_AUTOMATION = func.coalesce(_columns.automation, BY_HAND).label("automation")
_APPLIED = and_(_columns.status.in_((Status.APPLIED, Status.REVERTED)), _columns.reverts.is_(None))
"""Imports that took in a file; those that undo another one have no rows."""
_STEPS = {
    "validate": (_columns.received_at, _columns.validated_at),
    "plan": (_columns.validated_at, _columns.planned_at),
    "apply": (_columns.planned_at, _columns.applied_at),
}
"""Steps of an import that was applied, from and to; the first with the time that its file waited."""


def metrics(connection: Connection) -> bytes:
    """The metrics as text in the OpenMetrics format."""
    registry = CollectorRegistry()
    registry.register(_Figures(connection))
    return bytes(generate_latest(registry))


class _Figures(Collector):
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def collect(self) -> Iterator[Metric]:
        yield self._imports()
        yield self._rows()
        yield from self._seconds()
        yield from self._moments()

    def _imports(self) -> Metric:
        family = GaugeMetricFamily("engage_imports", "Imports by status.", labels=("automation", "status"))
        query = select(_AUTOMATION, _columns.status, func.count()).where(_columns.reverts.is_(None))
        query = query.group_by(_AUTOMATION, _columns.status)
        for automation, status, imports in self._connection.execute(query).tuples():
            family.add_metric((automation, status), imports)
        return family

    def _rows(self) -> Metric:
        family = CounterMetricFamily(
            "engage_import_rows", "Rows of applied imports by outcome.", labels=("automation", "outcome")
        )
        sums = [func.sum(_columns[outcome.value]) for outcome in Outcome]
        query = select(_AUTOMATION, *sums).where(_APPLIED).group_by(_AUTOMATION)
        for automation, *rows in self._connection.execute(query).tuples():
            for outcome, number in zip(Outcome, rows, strict=True):
                family.add_metric((automation, outcome.value), int(number))
        return family

    def _seconds(self) -> Iterator[Metric]:
        total = CounterMetricFamily(
            "engage_step_seconds", "Seconds that applied imports took, by step.", labels=("automation", "step")
        )
        imports = CounterMetricFamily("engage_applied_imports", "Imports that were applied.", labels=("automation",))
        sums: list[ColumnElement[float]] = [
            func.coalesce(func.sum(extract("epoch", until - since)), 0) for since, until in _STEPS.values()
        ]
        query = select(_AUTOMATION, func.count(), *sums).where(_APPLIED).group_by(_AUTOMATION)
        for automation, number, *seconds in self._connection.execute(query).tuples():
            imports.add_metric((automation,), number)
            for step, spent in zip(_STEPS, seconds, strict=True):
                total.add_metric((automation, step), float(spent))
        yield total
        yield imports

    def _moments(self) -> Iterator[Metric]:
        applied = GaugeMetricFamily(
            "engage_last_applied_timestamp_seconds", "When an import was applied last.", labels=("automation",)
        )
        oldest = GaugeMetricFamily(
            "engage_oldest_unfinished_timestamp_seconds",
            "When the oldest import that is not finished arrived.",
            labels=("automation",),
        )
        last = extract("epoch", func.max(_columns.applied_at))
        first = extract(
            "epoch", func.min(_columns.received_at).filter(_columns.status.in_(UNFINISHED), _columns.ended_at.is_(None))
        )
        query = select(_AUTOMATION, last, first).group_by(_AUTOMATION)
        for automation, moment, since in self._connection.execute(query).tuples():
            if moment is not None:
                applied.add_metric((automation,), float(moment))
            if since is not None:
                oldest.add_metric((automation,), float(since))
        yield applied
        yield oldest
