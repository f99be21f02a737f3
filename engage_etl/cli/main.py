"""The command line ``engage-etl``."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Annotated

import typer

from engage_etl.cli import (
    contacts_commands,
    db_commands,
    groups_commands,
    import_command,
    imports_commands,
    service_commands,
)
from engage_etl.cli.output import ExitCode, message_console

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
app.add_typer(imports_commands.app, name="imports", help="Look at imports.")
app.add_typer(contacts_commands.app, name="contacts", help="Look at contacts, or export them.")
app.add_typer(groups_commands.app, name="groups", help="List and create groups.")
app.add_typer(db_commands.app, name="db", help="The store: its server and its schema.")
app.command("env")(service_commands.env)


def run() -> None:
    """Run the command line; what nobody foresaw ends in one sentence, with the details in a file."""
    try:
        app()
    except Exception as error:  # noqa: BLE001 - the last resort: no traceback on the terminal
        message_console().print(
            f"[bold red]Error:[/] something unforeseen happened ({type(error).__name__}). "
            f"The details are in {_keep_details()}; please report them."
        )
        sys.exit(ExitCode.FAILED)


def _keep_details() -> Path:
    descriptor, path = tempfile.mkstemp(prefix="engage-etl-", suffix=".log")
    with os.fdopen(descriptor, "w") as file:
        file.write(traceback.format_exc())
    return Path(path)


if __name__ == "__main__":
    run()
