"""How an import went, in the terminal."""

from __future__ import annotations

from rich.bar import Bar
from rich.table import Table
from rich.text import Text
from sqlalchemy import select

from engage_etl.cli.output import result_console, table, visible
from engage_etl.reports.samples import field_change_counts
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import
from engage_etl.store.tables import plan_row
from engage_etl.vocabulary.outcomes import Outcome, Status

_SENTENCES = 5
_BAR_WIDTH = 40
_OUTCOME_COLOURS = {
    Outcome.CREATED: "green",
    Outcome.UPDATED: "blue",
    Outcome.UNCHANGED: "bright_black",
    Outcome.SKIPPED: "yellow",
    Outcome.REJECTED: "red",
}
_COLOURS = {Status.APPLIED: "green", Status.FAILED: "red", Status.STOPPED: "yellow"}


def print_summary(store: Store, entry: Import) -> None:
    """Print status, counts, reasons, changed fields, the first rejected rows and where to look next."""
    console = result_console()
    colour = _COLOURS.get(entry.status, "cyan")
    group, status = visible(entry.group_name), (entry.status.value, f"bold {colour}")
    heading = Text.assemble((visible(entry.file), "bold"), " → ", group, ": ", status, f"  ({entry.import_id})")
    console.print(heading, soft_wrap=True)
    if entry.error_message:
        console.print(visible(entry.error_message), markup=False)
    for warning in entry.warnings:
        console.print(f"Warning: {visible(warning)}", markup=False)
    console.print(_outcomes(entry))
    if entry.left_group:
        left = "left" if entry.status is Status.APPLIED else "would leave"
        console.print(f"Not in the file: {entry.left_group:,} {left} the group; their profiles stay.")
    fields, rejected = _details(store, entry)
    change = "changed field" if entry.status is Status.APPLIED else "field that would change"
    for title, counts in (("reason", entry.reasons), (change, fields)):
        if counts:
            ordered = sorted(counts.items(), key=lambda count: -count[1])
            console.print()
            console.print(table(title, "rows", rows=((name, f"{rows:,}") for name, rows in ordered)))
    if rejected:
        console.print()
        for sentence in rejected:
            console.print(f"- {visible(sentence)}", markup=False)
        if entry.rejected > len(rejected):
            console.print(f"  … and {entry.rejected - len(rejected):,} more, in rejected.csv of the report")
    if entry.report:
        console.print(f"Report: {store.settings.root / entry.report}", markup=False, soft_wrap=True)
    elif entry.status.has_ended:
        console.print(f"Report: missing; `engage-etl imports report {entry.import_id}` writes it.", soft_wrap=True)


def _outcomes(entry: Import) -> Table:
    """A bar per outcome, as long as its share of all rows."""
    shown = table("outcome", "rows", "", rows=())
    for name, rows in entry.outcome_counts().items():
        colour = _OUTCOME_COLOURS[Outcome(name)]
        bar = Bar(max(1, entry.rows), 0, rows, width=_BAR_WIDTH, color=colour)
        shown.add_row(Text(name), Text(f"{rows:,}", justify="right"), bar)
    shown.add_row(Text("in all"), Text(f"{entry.rows:,}", justify="right"), "")
    return shown


def _details(store: Store, entry: Import) -> tuple[dict[str, int], list[str]]:
    columns = plan_row.c
    query = (
        select(columns.message)
        .where(columns.import_id == entry.import_id, columns.outcome == Outcome.REJECTED.value)
        .order_by(columns.row)
        .limit(_SENTENCES)
    )
    with store.engine.connect() as connection:
        return field_change_counts(entry), list(connection.scalars(query))
