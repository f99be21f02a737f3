"""The command line ``engage-etl``."""

from __future__ import annotations

import io
import sys
import traceback
from typing import TYPE_CHECKING, Annotated

import typer
from typer.exceptions import TyperException

from engage_etl.cli import (
    automations_commands,
    contacts_commands,
    db_commands,
    groups_commands,
    import_command,
    imports_commands,
    notifications_commands,
    retention_commands,
    revert_command,
    service_commands,
)
from engage_etl.cli.output import ExitCode, print_error, report_error
from engage_etl.errors import EngageError, UsageError
from engage_etl.own_files import keep_files_private

if TYPE_CHECKING:
    from engage_etl.settings import Settings

app = typer.Typer(
    name="engage-etl",
    help="Contact imports matched on the external identifier: addresses and profiles are updated, nobody is doubled, nothing is lost.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"engage-etl {version('engage-etl')}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Contact imports matched on the external identifier."""


app.command("demo")(service_commands.demo)
app.command("up")(service_commands.up)
app.command("import", no_args_is_help=True)(import_command.import_files)
imports_commands.app.command("revert")(revert_command.revert)
app.add_typer(imports_commands.app, name="imports", help="Look at imports, decide on those that wait, or revert them.")
app.add_typer(contacts_commands.app, name="contacts", help="Look at contacts, or export them.")
app.add_typer(groups_commands.app, name="groups", help="List and create groups.")
app.add_typer(notifications_commands.app, name="notifications", help="Messages about imports, by mail or chat.")
app.add_typer(automations_commands.app, name="automations", help="Check, list and run what automations.yaml describes.")
app.add_typer(retention_commands.app, name="retention", help="Remove what is kept of old imports.")
app.add_typer(db_commands.app, name="db", help="The store: its server and its schema.")
app.command("env")(service_commands.env)


def run() -> None:
    """Run the command line: every error ends in one sentence and an exit code, never in a traceback."""
    keep_files_private()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that lacks a letter shows its code.
            stream.reconfigure(errors="backslashreplace")
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    as_json = "--json" in arguments
    try:
        _demand_text(arguments)
        return app(arguments, prog_name="engage-etl", standalone_mode=False) or ExitCode.DONE
    except EngageError as error:
        return report_error(error, as_json=as_json)
    except TyperException as error:
        return _report_usage(error, as_json=as_json)
    except typer.Abort:  # no answer to a question
        print_error("aborted", "The question was not answered, and nothing was done.", as_json=as_json)
        return ExitCode.FAILED
    except Exception as error:  # noqa: BLE001 - the last resort: no traceback on the terminal
        return _report_surprise(error, as_json=as_json)


def _demand_text(arguments: list[str]) -> None:
    for argument in arguments:
        if not argument.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in argument):
            raise UsageError(
                f"{argument!r} has bytes that are no text in UTF-8; type it anew, or rename the file that it names."
            )


def _report_usage(error: TyperException, *, as_json: bool) -> int:
    """Say what is wrong with a call that Typer refused, and which help to ask for."""
    message = error.format_message()
    if not message:
        # A command without its arguments: Typer has printed the help already.
        return ExitCode.USAGE
    context: typer.Context | None = getattr(error, "ctx", None)
    words = context.command_path if context is not None else "engage-etl"
    sentence = message if message.endswith((".", "?", "!")) else f"{message}."
    print_error("usage_error", f"{sentence} See `{words} --help`.", as_json=as_json)
    return ExitCode.USAGE


def _report_surprise(error: Exception, *, as_json: bool) -> int:
    """Say that the disk is full or the server is gone; what else nobody foresaw is kept with its details."""
    from engage_etl.settings import load_settings
    from engage_etl.store.outages import is_disk_full, is_server_outage, outage

    try:
        settings = load_settings()
    except UsageError:
        settings = None
    if settings is not None and (is_server_outage(error) or is_disk_full(error)):
        return report_error(outage(error, settings, "run the command again"), as_json=as_json)
    return _report_unforeseen(error, settings, as_json=as_json)


def _report_unforeseen(error: Exception, settings: Settings | None, *, as_json: bool) -> int:
    from engage_etl.cli.details import keep_details

    file = keep_details(settings, "".join(traceback.format_exception(error)))
    sentence = f"Something unforeseen happened ({type(error).__name__}). The details are in {file}; please report them."
    print_error("unforeseen", sentence, as_json=as_json)
    return ExitCode.FAILED


if __name__ == "__main__":
    run()
