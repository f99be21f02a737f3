"""``engage-etl imports``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from engage_etl.cli import approval_commands
from engage_etl.cli.options import AsJson, demand_choice
from engage_etl.cli.output import (
    errors_as_sentences,
    print_json,
    print_json_list,
    result_console,
    say,
    table,
    visible,
)
from engage_etl.errors import UsageError
from engage_etl.vocabulary.outcomes import Outcome

app = typer.Typer(no_args_is_help=True)
ImportId = Annotated[str, typer.Argument(metavar="ID", help="Id of the import.")]


@app.command("list")
def list_all(
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many, the latest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the latest imports."""
    from engage_etl.cli.installation import store_to_look_at
    from engage_etl.reports.summary import import_summaries
    from engage_etl.store.imports import list_imports

    with errors_as_sentences(as_json=as_json), store_to_look_at() as opened, opened.engine.connect() as connection:
        entries = list_imports(connection, limit=limit)
        summaries = import_summaries(connection, entries) if as_json else []
    if as_json:
        print_json(summaries)
    elif not entries:
        say("There are no imports yet; start one with `engage-etl import FILE --group NAME`.")
    else:
        names = ("import", "status", "rows", *(outcome.value for outcome in Outcome))
        counts = ([entry.rows, *entry.outcome_counts().values()] for entry in entries)
        rows = (
            (entry.import_id, entry.status.value, *(f"{count:,}" for count in numbers))
            for entry, numbers in zip(entries, counts, strict=True)
        )
        result_console().print(table(*names, rows=rows))


@app.command("show")
def show(import_id: ImportId, as_json: AsJson = False) -> None:
    """Show how an import went: counts, reasons, report."""
    from engage_etl.cli.import_summary import print_summary
    from engage_etl.cli.installation import store_to_look_at
    from engage_etl.reports.summary import import_summaries
    from engage_etl.store.amendments import corrections
    from engage_etl.store.imports import find_import
    from engage_etl.store.removals import find_removals

    with errors_as_sentences(as_json=as_json), store_to_look_at() as opened:
        with opened.engine.connect() as connection:
            entry = find_import(connection, import_id)
            [summary] = import_summaries(connection, [entry])
            corrected, removals = corrections(connection, entry), find_removals(connection, import_id)
        if as_json:
            gone = {"removed": [removed.as_object() for removed in removals]} if removals else {}
            print_json(summary | ({"corrections": asdict(corrected)} if corrected is not None else {}) | gone)
            return
        print_summary(opened, entry, removals)
        if corrected is not None:
            typer.echo(f"With its corrections: {corrected.sentence()}")


@app.command("diff")
def diff(
    first: Annotated[str, typer.Argument(metavar="ID", help="Id of an import.")],
    second: Annotated[str, typer.Argument(metavar="ID", help="Id of the import to compare it with.")],
    as_json: AsJson = False,
) -> None:
    """Show two imports side by side: files, options, counts, reasons and changed fields."""
    from engage_etl.cli.import_diff import import_difference
    from engage_etl.cli.installation import store_to_look_at

    with errors_as_sentences(as_json=as_json), store_to_look_at() as opened, opened.engine.connect() as connection:
        difference = import_difference(connection, first, second)
    if as_json:
        print_json(difference)
    else:
        _print_difference(difference)


def _print_difference(difference: dict[str, Any]) -> None:
    console = result_console()
    console.print(table("", "import", rows=zip(("first", "second"), difference["imports"], strict=True)))
    for title, part in (("what differs", "facts"), ("option that differs", "options")):
        if difference[part]:
            console.print()
            rows = ((name, _as_word(one), _as_word(other)) for name, (one, other) in difference[part].items())
            console.print(table(title, "first", "second", rows=rows))
    for title, part in (("rows", "counts"), ("reason", "reasons"), ("changed field", "changed_fields")):
        if difference[part]:
            console.print()
            counts = (
                (name, f"{one:,}", f"{other:,}", f"{other - one:+,}") for name, (one, other) in difference[part].items()
            )
            console.print(table(title, "first", "second", "difference", rows=counts))


def _as_word(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_as_word, value))
    if isinstance(value, bool):
        return str(value).lower()
    return "(not stated)" if value is None else str(value)


@app.command("report")
def report(
    import_id: ImportId,
    to: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Copy the report that is there into a folder of this machine.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the report of an import that has ended or waits, where it is missing or was removed; prints its folder."""
    from engage_etl.cli.installation import store
    from engage_etl.reports.copied_report import copy_report
    from engage_etl.reports.report import demand_sources
    from engage_etl.stage_run import finish_import
    from engage_etl.store.imports import find_import, import_lock

    with errors_as_sentences(as_json=as_json), store() as opened:
        with opened.engine.connect() as connection:
            entry = find_import(connection, import_id)
        if not entry.is_reported:
            raise UsageError(f"Import {import_id} is {entry.status.value}; its report is written when it has ended.")
        if to is None or entry.report is None:
            demand_sources(opened, entry)
            with import_lock(opened.locks, import_id):
                finish_import(opened, import_id)
        folder = str(copy_report(opened, import_id, to)) if to else opened.kept.shown(opened.report_dir(import_id))
    if as_json:
        print_json({"import_id": import_id, "report": folder})
    else:
        typer.echo(folder)


app.command("approve")(approval_commands.approve)
app.command("reject")(approval_commands.reject)
app.command("plan")(approval_commands.plan)


@app.command("rows")
def rows(
    import_id: ImportId,
    outcome: Annotated[str | None, typer.Option(metavar="|".join(Outcome), help="Only rows with this outcome.")] = None,
    as_json: AsJson = False,
) -> None:
    """List what became of each row of an import, in row order; of a revert, what it took back and what it did not."""
    from engage_etl.cli.import_rows import planned_rows, reverted_rows
    from engage_etl.cli.installation import store_to_look_at
    from engage_etl.store.imports import find_import
    from engage_etl.store.removals import Kind, demand_kept

    with errors_as_sentences(as_json=as_json):
        if outcome is not None:
            demand_choice("--outcome", outcome, Outcome)
        with store_to_look_at() as opened, opened.engine.connect() as connection:
            if find_import(connection, import_id).reverts is not None:
                found = reverted_rows(connection, import_id, outcome)
            else:
                demand_kept(connection, import_id, Kind.PLAN)
                found = planned_rows(connection, import_id, outcome)
            _print_rows(found, as_json=as_json)


def _print_rows(found: Iterator[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json_list(found)
    else:
        for row in found:
            _print_row(row)


def _print_row(row: dict[str, Any]) -> None:
    from engage_etl.reports.changes_file import as_text

    shown = ((field, as_text(before), as_text(after)) for field, (before, after) in row["changes"].items())
    changes = "; ".join(f"{field}: {before or '(blank)'} → {after or '(blank)'}" for field, before, after in shown)
    told = "  ".join(filter(None, (changes, row["message"])))
    number = "" if row["row"] is None else row["row"]
    typer.echo(f"{number:>8}  {row['outcome']:<10}  {visible(told)}".rstrip())
