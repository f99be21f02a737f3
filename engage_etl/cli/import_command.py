"""``engage-etl import``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engage_etl.cli.options import AsJson
from engage_etl.cli.output import (
    WORST_FIRST,
    ExitCode,
    errors_as_sentences,
    message_console,
    only_results_on_stdout,
    print_json,
)
from engage_etl.errors import UsageError
from engage_etl.vocabulary.choices import DETECT, Duplicates, FileType, ImportMode, MangledIdentifiers

if TYPE_CHECKING:
    from engage_etl.store.engine import Store
    from engage_etl.store.imports import Import
    from engage_etl.vocabulary.options import ImportOptions


_FileType = Enum("_FileType", {kind.name: kind.value for kind in FileType} | {"DETECT": DETECT})  # type: ignore[misc]


def import_files(  # noqa: PLR0913, PLR0917 - one parameter per option
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="CSV or XML files.")],
    group: Annotated[str, typer.Option(help="Existing group that the contacts become members of.")],
    use_external_identifier: Annotated[
        bool, typer.Option("--use-external-identifier", help="Match on the external identifier and nothing else.")
    ] = False,
    import_mode: Annotated[
        ImportMode, typer.Option(help="What may happen to members, contacts and new ones.")
    ] = ImportMode.ADD_AND_UPDATE,
    file_type: Annotated[_FileType, typer.Option(help="Type of the files.")] = _FileType["DETECT"],
    separator: Annotated[str, typer.Option(help="Separator of CSV files: , ; | tab, or detect.")] = "detect",
    character_set: Annotated[str, typer.Option(help="Encoding of CSV files, like ISO-8859-15, or detect.")] = "detect",
    duplicates: Annotated[
        Duplicates, typer.Option(help="Rows with one match key: the last one counts, or all are rejected.")
    ] = Duplicates.LAST,
    identifier_pattern: Annotated[
        str | None, typer.Option(help="alphanumeric, or a regular expression for whole identifiers.")
    ] = None,
    mangled_identifiers: Annotated[
        MangledIdentifiers, typer.Option(help="Identifiers like 1.23E+11, which a spreadsheet has made.")
    ] = MangledIdentifiers.REJECT,
    max_rejected: Annotated[
        str | None, typer.Option(help="Stop after the plan past this: 5% or 100. Default: over half, at least ten.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 3 if rows were rejected.")] = False,
    as_json: AsJson = False,
) -> None:
    """Import CSV or XML files: update the contacts that match, create new ones that have an address."""
    given = {
        "group": group,
        "use_external_identifier": use_external_identifier,
        "import_mode": import_mode.value,
        "file_type": _stated(file_type.value),
        "separator": _stated(separator),
        "character_set": _stated(character_set),
        "duplicates": duplicates.value,
        "identifier_pattern": identifier_pattern,
        "mangled_identifiers": mangled_identifiers.value,
        "max_rejected": max_rejected,
    }
    with errors_as_sentences(as_json=as_json):
        options = _options(given)
        _demand_files(files)
        with only_results_on_stdout():
            store, entries = _run(files, options)
        with store:
            _print_results(store, entries, as_json=as_json)
    codes = {_exit_code(entry, strict=strict) for entry in entries}
    raise typer.Exit(next(code for code in WORST_FIRST if code in codes))


def _stated(value: str) -> str | None:
    return None if value == DETECT else value


def _options(given: dict[str, Any]) -> ImportOptions:
    """The options, checked.

    Raises:
        UsageError: a value does not fit; the sentence names the option.
    """
    from pydantic import ValidationError

    from engage_etl.vocabulary.options import ImportOptions

    try:
        return ImportOptions.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = "--" + str(first["loc"][0]).replace("_", "-")
        raise UsageError(f"{name} {first['input']!r}: {first['msg'].removeprefix('Value error, ')}.") from None


def _demand_files(files: list[Path]) -> None:
    for file in files:
        if not file.is_file():
            problem = "is a folder; name the files in it" if file.is_dir() else "does not exist; check its name"
            raise UsageError(f"{file} {problem}. Nothing was imported.")


def _run(files: list[Path], options: ImportOptions) -> tuple[Store, list[Import]]:
    """Register the files and import each as a Dagster run of its own."""
    from engage_etl.cli.installation import store
    from engage_etl.cli.progress import import_progress
    from engage_etl.store.imports import find_import, register_import
    from engage_etl.triggers.run_import import run_imports

    opened = store()
    with opened.engine.begin() as connection:
        ids = [register_import(connection, file.absolute(), options) for file in files]
        entries = [find_import(connection, import_id) for import_id in ids]
    with import_progress() as progress:
        run_imports(opened.settings, entries, progress)
    with opened.engine.connect() as connection:
        return opened, [find_import(connection, import_id) for import_id in ids]


def _print_results(store: Store, entries: list[Import], *, as_json: bool) -> None:
    from engage_etl.cli.import_summary import print_summary
    from engage_etl.reports.summary import import_summary

    if as_json:
        summaries = [import_summary(entry) for entry in entries]
        print_json(summaries[0] if len(summaries) == 1 else summaries)
        return
    for entry in entries:
        print_summary(store, entry)
    if any(entry.rejected for entry in entries):
        message_console().print("Correct the rows in rejected.csv and import that file as it is.")


def _exit_code(entry: Import, *, strict: bool) -> ExitCode:
    from engage_etl.vocabulary.outcomes import Status

    if entry.status is not Status.APPLIED:
        return ExitCode.FAILED
    return ExitCode.ROWS_REJECTED if strict and entry.rejected else ExitCode.DONE
