"""``report.html``: how an import went, on one page that opens in any browser and loads nothing from elsewhere (R39, R41)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from sqlalchemy import Connection, select

from engage_etl.reports.next_steps import next_step
from engage_etl.reports.private_files import private_text_file
from engage_etl.reports.samples import field_change_counts, rejected_sample
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import
from engage_etl.store.tables import plan_row
from engage_etl.validated_rows.stage_files import rejected_file
from engage_etl.vocabulary.counting import counted
from engage_etl.vocabulary.outcomes import Outcome, Status

_MOST_BARS = 12
"""Reasons or fields that have a bar of their own; the others are summed up, so that a page is enough to print."""
_MOST_ROWS = 10
"""Rejected rows on the page; all of them are in ``rejected.csv``."""


@dataclass(frozen=True)
class Bar:
    """One line of a chart. rows: number of rows; percent: length of the bar, of the longest or of all rows; kind: its colour."""

    name: str
    rows: int
    percent: float
    kind: str = "plain"


@dataclass(frozen=True)
class RejectedRow:
    """A rejected row on the page. sentence: why, masked."""

    row: int
    reason: str
    sentence: str


def write_page(store: Store, path: Path, entry: Import) -> None:
    """Write the page of an import that has a report; only its owner may read it."""
    with store.engine.connect() as connection:
        rejected = _rejected_rows(store, connection, entry)
    with private_text_file(path) as file:
        file.write(render_page(entry, rejected))


def render_page(entry: Import, rejected: list[RejectedRow]) -> str:
    """The page as HTML. rejected: the first rejected rows, in row order."""
    return _template().render(
        entry=entry,
        is_applied=entry.status is Status.APPLIED,
        outcomes=_outcome_bars(entry),
        reasons=_bars(entry.reasons),
        fields=_bars(field_change_counts(entry)),
        rejected=rejected,
        more_rejected=max(0, entry.rejected - len(rejected)),
        step=next_step(entry),
        facts=_facts(entry),
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("engage_etl.reports", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["grouped"] = lambda number: f"{number:,}"
    environment.filters["moment"] = lambda moment: moment.strftime("%Y-%m-%d %H:%M:%S %Z")
    return environment.get_template("report.html")


def _outcome_bars(entry: Import) -> list[Bar]:
    rows = max(1, entry.rows)
    counts = entry.outcome_counts()
    return [Bar(name.value, counts[name.value], 100 * counts[name.value] / rows, name.value) for name in Outcome]


def _bars(counts: Mapping[str, int]) -> list[Bar]:
    """Bars from the longest to the shortest, the last of them for all that have none of their own."""
    ordered = sorted(counts.items(), key=lambda count: -count[1])
    shown, others = ordered[:_MOST_BARS], ordered[_MOST_BARS:]
    if others:
        shown.append((counted(len(others), "other"), sum(rows for _, rows in others)))
    longest = max((rows for _, rows in shown), default=1)
    return [Bar(name, rows, 100 * rows / longest) for name, rows in shown]


def _rejected_rows(store: Store, connection: Connection, entry: Import) -> list[RejectedRow]:
    if entry.planned_at is None:
        folder = store.import_dir(entry.import_id)
        store.kept.fetched(rejected_file(folder))
        found = rejected_sample(folder, _MOST_ROWS)
        return [RejectedRow(int(row["row"]), row["reason"], row["message"]) for row in found]
    columns = plan_row.c
    query = (
        select(columns.row, columns.reason, columns.message)
        .where(columns.import_id == entry.import_id, columns.outcome == Outcome.REJECTED.value)
        .order_by(columns.row)
        .limit(_MOST_ROWS)
    )
    return [RejectedRow(found.row, found.reason, found.message or "") for found in connection.execute(query)]


def _facts(entry: Import) -> dict[str, Any]:
    """What else is known, by the words that people read."""
    facts = {
        "Import": entry.import_id,
        "Automation": entry.automation or "none, imported by hand",
        "Import mode": entry.import_options.import_mode.value,
        "Matched on": "external identifier" if entry.import_options.use_external_identifier else "address",
        "Plan": entry.plan_hash or "none",
    }
    if entry.drifted:
        facts["Planned again"] = (
            f"{counted(entry.drifted, 'row')} came out otherwise than planned first, since contacts had changed meanwhile"
        )
    if entry.left_group:
        facts["Left the group"] = f"{counted(entry.left_group, 'member')} that the file lacks; their profiles stay"
    return facts
