"""How an import went, in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

from rich.bar import Bar
from rich.table import Table
from rich.text import Text
from sqlalchemy import select

from engage_etl.cli.output import result_console, table, visible
from engage_etl.reports.samples import field_change_counts
from engage_etl.store.approvals import find_approval
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import
from engage_etl.store.removals import Kind, Removal
from engage_etl.store.tables import plan_row
from engage_etl.vocabulary.options import ApprovalNeeded
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
_COLOURS = {
    Status.APPLIED: "green",
    Status.FAILED: "red",
    Status.STOPPED: "yellow",
    Status.WAITING_FOR_APPROVAL: "yellow",
}


def print_summary(store: Store, entry: Import, removals: Sequence[Removal] = ()) -> None:
    """Print status, counts, reasons, changed fields, the first rejected rows, where to look next and what is gone."""
    console = result_console()
    colour = _COLOURS.get(entry.status, "cyan")
    words = f"{entry.status.value} (dry run, nothing is applied)" if entry.is_dry_run else entry.status.value
    group, status = visible(entry.group_name), (words, f"bold {colour}")
    heading = Text.assemble((visible(entry.file), "bold"), " → ", group, ": ", status, f"  ({entry.import_id})")
    console.print(heading, soft_wrap=True)
    if entry.error_message:
        console.print(visible(entry.error_message), markup=False)
    for warning in entry.warnings:
        console.print(f"Warning: {visible(warning)}", markup=False)
    if entry.reverts is not None:
        _print_revert(store, entry)
        return
    if entry.amends is not None:
        console.print(f"Amends: {entry.amends}", markup=False, soft_wrap=True)
    console.print(_outcomes(entry))
    if entry.left_group:
        left = "left" if entry.status.is_final else "would leave"
        console.print(f"Not in the file: {entry.left_group:,} {left} the group; their profiles stay.")
    fields, rejected = _details(store, entry)
    change = "changed field" if entry.status.is_final else "field that would change"
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
    _print_report(store, entry, removals)
    _print_decision(store, entry)


def _print_report(store: Store, entry: Import, removals: Sequence[Removal]) -> None:
    """Where the report lies, or why there is none."""
    console = result_console()
    for removed in removals:
        console.print(str(removed), markup=False, soft_wrap=True)
    gone = {removed.kind for removed in removals}
    if entry.report and Kind.REPORT not in gone:
        console.print(f"Report: {store.kept.shown(store.kept.root / entry.report)}", markup=False, soft_wrap=True)
    elif entry.is_reported and not gone & {Kind.RAW_FILE, Kind.PLAN, Kind.REPORT}:
        console.print(f"Report: missing; `engage-etl imports report {entry.import_id}` writes it.", soft_wrap=True)


def _print_decision(store: Store, entry: Import) -> None:
    """Who approved the plan, or who may and how (R35)."""
    with store.engine.connect() as connection:
        approval = find_approval(connection, entry.import_id)
    console = result_console()
    if approval is not None:
        moment = approval.approved_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
        console.print(f"Approved by {visible(approval.approved_by)}, {moment}.", markup=False)
    elif entry.status.waits:
        second = entry.import_options.approval is ApprovalNeeded.SECOND_PERSON
        other = f", by somebody else than {visible(entry.starter or 'who started it')}" if second else ""
        console.print(f"Plan: {entry.plan_hash}", markup=False, soft_wrap=True)
        console.print(f"To apply it{other}: engage-etl imports approve {entry.import_id}", markup=False, soft_wrap=True)
        console.print(
            f"To end it: engage-etl imports reject {entry.import_id} --because TEXT", markup=False, soft_wrap=True
        )


def _outcomes(entry: Import) -> Table:
    """A bar per outcome, as long as its share of all rows."""
    shown = table("outcome", "rows", "", rows=())
    for name, rows in entry.outcome_counts().items():
        colour = _OUTCOME_COLOURS[Outcome(name)]
        bar = Bar(max(1, entry.rows), 0, rows, width=_BAR_WIDTH, color=colour)
        shown.add_row(Text(name), Text(f"{rows:,}", justify="right"), bar)
    shown.add_row(Text("in all"), Text(f"{entry.rows:,}", justify="right"), "")
    return shown


def _print_revert(store: Store, entry: Import) -> None:
    """What an import that undoes another one did (R36)."""
    console = result_console()
    by = f", by {visible(entry.reverted_by)}" if entry.reverted_by else ""
    console.print(f"Reverts: {entry.reverts}{by}", markup=False, soft_wrap=True)
    counts = (entry.restored, entry.kept, entry.failed)
    console.print(table("restored", "kept", "failed", rows=[[f"{count:,}" for count in counts]]))
    if entry.report:
        console.print(f"Report: {store.kept.shown(store.kept.root / entry.report)}", markup=False, soft_wrap=True)


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
