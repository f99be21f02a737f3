"""``engage-etl import``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engage_etl.cli.account import stated_name
from engage_etl.cli.options import AsJson, wrong_value
from engage_etl.cli.output import (
    WORST_FIRST,
    ExitCode,
    errors_as_sentences,
    only_results_on_stdout,
    print_json,
    say,
)
from engage_etl.errors import UsageError
from engage_etl.vocabulary.choices import (
    DETECT,
    ApprovalNeeded,
    Duplicates,
    FileType,
    ImportMode,
    InvalidValues,
    MangledIdentifiers,
    UpdateRule,
)

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from engage_etl.store.engine import Store
    from engage_etl.store.imports import Import
    from engage_etl.vocabulary.options import ImportOptions

_DETECTED = ("file_type", "separator", "character_set")
_USUAL_CHARACTER_SETS = (
    "UTF-8", "UTF-16", "ISO-8859-1", "ISO-8859-2", "ISO-8859-15", "Windows-1250", "Windows-1251", "Windows-1252",
    "US-ASCII",
)  # fmt: skip


def _words(choices: Iterable[str]) -> str:
    return "|".join(choices)


def import_files(  # noqa: PLR0913, PLR0917 - one parameter per option
    context: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="CSV, XML or text files, also as .gz, .zip or .gpg.")
    ],
    group: Annotated[
        str | None, typer.Option(help="Existing group that the contacts become members of; required but with --amends.")
    ] = None,
    use_external_identifier: Annotated[
        bool, typer.Option("--use-external-identifier", help="Match on the external identifier and nothing else.")
    ] = False,
    import_mode: Annotated[
        str, typer.Option(metavar=_words(ImportMode), help="What may happen to members, contacts and new ones.")
    ] = ImportMode.ADD_AND_UPDATE.value,
    file_type: Annotated[str, typer.Option(metavar=_words([*FileType, DETECT]), help="Type of the files.")] = DETECT,
    separator: Annotated[str, typer.Option(help="Separator of CSV files: , ; | tab, or detect.")] = DETECT,
    character_set: Annotated[str, typer.Option(help="Encoding of CSV files, like ISO-8859-15, or detect.")] = DETECT,
    update_rule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[FIELD=]RULE",
            help=f"When a value is written: {_words(UpdateRule)}; for all fields or for one, may be repeated.",
        ),
    ] = None,
    duplicates: Annotated[
        str,
        typer.Option(
            metavar=_words(Duplicates), help="Rows with one match key: the last one counts, or all are rejected."
        ),
    ] = Duplicates.LAST.value,
    link_unidentified: Annotated[
        bool,
        typer.Option(
            "--link-unidentified", help="Give a new identifier to the contact without one that has the address."
        ),
    ] = False,
    identifier_pattern: Annotated[
        str | None, typer.Option(help="alphanumeric, or a regular expression for whole identifiers.")
    ] = None,
    mangled_identifiers: Annotated[
        str,
        typer.Option(
            metavar=_words(MangledIdentifiers), help="Identifiers like 1.23E+11, which a spreadsheet has made."
        ),
    ] = MangledIdentifiers.REJECT.value,
    invalid_values: Annotated[
        str,
        typer.Option(
            metavar=_words(InvalidValues),
            help="A value that does not fit rejects its row, or is dropped; addresses and identifiers always reject.",
        ),
    ] = InvalidValues.REJECT.value,
    ignore_unsubscribed: Annotated[
        bool, typer.Option("--ignore-unsubscribed", help="Skip members who left this group.")
    ] = False,
    ignore_deactivated: Annotated[
        bool, typer.Option("--ignore-deactivated", help="Skip contacts switched off after delivery failures.")
    ] = False,
    max_rejected: Annotated[
        str | None, typer.Option(help="Stop after the plan past this: 5% or 100. Default: over half, at least ten.")
    ] = None,
    max_changed: Annotated[
        str | None,
        typer.Option(
            help="Stop after the plan past this many rows that create or update: 5% or 100. Default: no limit."
        ),
    ] = None,
    approval: Annotated[
        str,
        typer.Option(
            metavar=_words(ApprovalNeeded), help="Who approves the plan before it is applied: `imports approve`."
        ),
    ] = ApprovalNeeded.NONE.value,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Make the plan and the report, and apply nothing, ever.")
    ] = False,
    by: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who imports; the account of this command if left out.")
    ] = None,
    amends: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="The file is a corrected rejected.csv of this import, whose options apply unless stated otherwise.",
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 3 if rows were rejected.")] = False,
    as_json: AsJson = False,
) -> None:
    """Import CSV or XML files, or lists of addresses: update the contacts that match, create new ones that have an address."""
    given = {
        "group": group,
        "use_external_identifier": use_external_identifier,
        "import_mode": import_mode,
        "file_type": file_type,
        "separator": separator,
        "character_set": character_set,
        "update_rule": update_rule or (),
        "duplicates": duplicates,
        "link_unidentified": link_unidentified,
        "identifier_pattern": identifier_pattern,
        "mangled_identifiers": mangled_identifiers,
        "invalid_values": invalid_values,
        "ignore_unsubscribed": ignore_unsubscribed,
        "ignore_deactivated": ignore_deactivated,
        "max_rejected": max_rejected,
        "max_changed": max_changed,
        "approval": approval,
        "dry_run": dry_run,
    }
    with errors_as_sentences(as_json=as_json):
        if amends is not None:
            given = _amended(files, amends, {name: given[name] for name in given if _is_stated(context, name)})
        elif group is None:
            raise UsageError("Missing option '--group'. See `engage-etl import --help`.")
        options = _options(given)
        _demand_files(files)
        entries = _import(files, options, stated_name(by), amends, as_json=as_json)
    raise typer.Exit(worst_exit_code(entries, strict=strict))


def _is_stated(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _amended(files: list[Path], import_id: str, stated: dict[str, Any]) -> dict[str, Any]:
    """The options of a corrected file: those of the import that it amends, unless stated otherwise.

    Raises:
        UsageError: the import cannot be amended, or not like this.
    """
    if len(files) > 1:
        raise UsageError("--amends takes one corrected file at a time; import the others by themselves.")
    from engage_etl.cli.installation import store
    from engage_etl.store.amendments import amended_options

    with store() as opened, opened.engine.connect() as connection:
        return amended_options(connection, import_id, stated)


def _options(given: dict[str, Any]) -> ImportOptions:
    """The options, checked.

    Raises:
        UsageError: a value does not fit; the sentence names the option, the value, what was expected and the nearest.
    """
    from pydantic import ValidationError

    from engage_etl.vocabulary.options import ImportOptions

    stated = {name: value for name, value in given.items() if not (name in _DETECTED and value == DETECT)}
    try:
        return ImportOptions.model_validate(stated)
    except ValidationError as error:
        raise _does_not_fit(error.errors()[0]) from None


def _does_not_fit(problem: ErrorDetails) -> UsageError:
    name = str(problem["loc"][0])
    choices = re.findall(r"'([^']+)'", str(problem.get("ctx", {}).get("expected", "")))
    if choices:
        choices += [DETECT] if name in _DETECTED else []
        expected = f"expected {' or '.join(choices)}"
    elif problem["type"] == "string_too_short":
        expected = "expected a name"
    else:
        expected = problem["msg"].removeprefix("Value error, ")
    if name == "character_set":
        choices = [*_USUAL_CHARACTER_SETS, DETECT]
    return wrong_value("--" + name.replace("_", "-"), problem["input"], expected, choices)


def _demand_files(files: list[Path]) -> None:
    """Refuse what cannot be a file to import, before anything is registered.

    Raises:
        UsageError: names the file.
    """
    for file in files:
        if file.is_dir():
            problem = "is a folder; name the files in it"
        elif not file.exists():
            problem = "does not exist; check its name"
        elif not file.is_file():
            problem = "is no regular file; save its contents in one"
        elif not os.access(file, os.R_OK):
            problem = "may not be read by this user; change its permissions"
        else:
            continue
        raise UsageError(f"{file} {problem}. Nothing was imported.")


def _import(files: list[Path], options: ImportOptions, by: str, amends: str | None, *, as_json: bool) -> list[Import]:
    """Import the files and print how it went. by: who does; amends: id of the import that they correct."""
    from engage_etl.loading import quick_loading

    with quick_loading():
        from engage_etl.cli.import_runs import import_by_hand
        from engage_etl.cli.installation import store

    with store() as opened:
        with only_results_on_stdout():
            entries = import_by_hand(opened, files, options, by, amends)
        print_results(opened, entries, as_json=as_json)
    return entries


def print_results(store: Store, entries: list[Import], *, as_json: bool) -> None:
    """Print how imports went: one JSON object, or a list if there are several."""
    from engage_etl.cli.import_summary import print_summary
    from engage_etl.reports.summary import import_summaries

    if as_json:
        with store.engine.connect() as connection:
            summaries = import_summaries(connection, entries)
        print_json(summaries[0] if len(summaries) == 1 else summaries)
        return
    for entry in entries:
        print_summary(store, entry)
    if any(entry.rejected for entry in entries):
        say("Correct the rows in rejected.csv and import that file as it is.")


def worst_exit_code(entries: list[Import], *, strict: bool) -> ExitCode:
    """The exit code of several imports; without one there is nothing to complain of."""
    codes = {_exit_code(entry, strict=strict) for entry in entries}
    return next((code for code in WORST_FIRST if code in codes), ExitCode.DONE)


def _exit_code(entry: Import, *, strict: bool) -> ExitCode:
    from engage_etl.vocabulary.outcomes import Status

    if entry.status is Status.PLANNED and entry.has_ended:
        return ExitCode.DONE  # a dry run
    if entry.status is not Status.APPLIED:
        return ExitCode.FAILED
    return ExitCode.ROWS_REJECTED if strict and entry.rejected else ExitCode.DONE
