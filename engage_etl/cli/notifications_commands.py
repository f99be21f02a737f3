"""``engage-etl notifications``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from engage_etl.cli.options import AsJson
from engage_etl.cli.output import ExitCode, errors_as_sentences, print_json, result_console, table
from engage_etl.errors import NotificationNotSent, UsageError

if TYPE_CHECKING:
    from engage_etl.triggers.destinations import Destination

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _notifications() -> None:
    """Keep ``test`` a command of its own; Typer would make the only one the command itself."""


@app.command("test")
def test(as_json: AsJson = False) -> None:
    """Send a test message to everybody in ENGAGE_NOTIFY, and say where it went."""
    with errors_as_sentences(as_json=as_json):
        from engage_etl.settings import load_settings
        from engage_etl.triggers.destinations import destinations

        told = destinations(load_settings())
        if not told:
            raise UsageError(
                "Nobody is told of imports: ENGAGE_NOTIFY is not set. docs/notifications.md says how it is written."
            )
        trials = [_try(destination) for destination in told]
    if as_json:
        print_json(trials)
    else:
        rows = ((one["destination"], one["to"], "sent" if one["sent"] else one["error"]) for one in trials)
        result_console().print(table("destination", "to", "test message", rows=rows))
    raise typer.Exit(ExitCode.DONE if all(one["sent"] for one in trials) else ExitCode.FAILED)


def _try(destination: Destination) -> dict[str, object]:
    """Send the test message; returns where it went, without secrets, and why it did not arrive there."""
    from engage_etl.reports.notification_texts import trial_text

    said: dict[str, object] = {"destination": destination.name, "to": None, "sent": False, "error": None}
    try:
        said["to"] = destination.describe()
        destination.send(trial_text())
    except NotificationNotSent as error:
        return said | {"error": str(error)}
    return said | {"sent": True}
