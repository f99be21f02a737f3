"""``engage-etl automations``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engage_etl.cli.options import AsJson
from engage_etl.cli.output import (
    ExitCode,
    errors_as_sentences,
    only_results_on_stdout,
    print_json,
    result_console,
    say,
    table,
)
from engage_etl.errors import AutomationError, UsageError
from engage_etl.vocabulary.counting import counted

if TYPE_CHECKING:
    from engage_etl.store.imports import Import
    from engage_etl.triggers.automations import Automation

app = typer.Typer(no_args_is_help=True)


@app.command("check")
def check(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Instead of the one in the data folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check an automations file, without a store: exit code 1 and every error with its line if something is wrong."""
    from engage_etl.settings import load_settings
    from engage_etl.triggers.automations import load_automations

    with errors_as_sentences(as_json=as_json):
        settings = load_settings()
        path = file or settings.automations_file
        if not path.is_file():
            raise UsageError(f"There is no file {path}; name the one to check.")
        automations, errors = load_automations(path, settings.root)
    if as_json:
        names = [automation.name for automation in automations]
        print_json({"file": str(path), "automations": names, "errors": [_error(error) for error in errors]})
    else:
        for error in errors:
            say(str(error))
        counts = f"{counted(len(automations), 'automation')} right, {counted(len(errors), 'error')}"
        result_console().print(f"{counts} in {path}.", markup=False, soft_wrap=True)
    raise typer.Exit(ExitCode.FAILED if errors else ExitCode.DONE)


def _error(error: AutomationError) -> dict[str, Any]:
    return {
        "file": error.file,
        "line": error.line,
        "key": error.key,
        "nearest": error.nearest,
        "message": str(error),
    }


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List the automations: when their files are imported next, and how the last import went."""
    from engage_etl.cli.installation import store
    from engage_etl.store.imports import list_imports
    from engage_etl.triggers.automations import load_automations

    with errors_as_sentences(as_json=as_json), store() as opened, opened.engine.connect() as connection:
        automations, errors = load_automations(opened.settings.automations_file, opened.settings.root)
        last = {one.name: list_imports(connection, automation=one.name, limit=1) for one in automations}
    found = [_facts(automation, next(iter(last[automation.name]), None)) for automation in automations]
    for error in errors:
        say(f"Left out: {error}")
    if as_json:
        print_json(found)
    elif not found:
        say(f"There is no automation yet; describe one in {opened.settings.automations_file}.")
    else:
        result_console().print(table(*_COLUMNS, rows=(_cells(facts) for facts in found)))


_COLUMNS = ("automation", "group", "source", "schedule", "next run", "active", "last import")


def _facts(automation: Automation, last: Import | None) -> dict[str, Any]:
    return {
        "name": automation.name,
        "group": automation.options.group,
        "source": str(automation.source),
        "schedule": automation.schedule,
        "time_zone": automation.time_zone if automation.is_scheduled else None,
        "next_run": _next_run(automation),
        "active": automation.is_active,
        "last_import": None if last is None else {"import_id": last.import_id, "status": last.status.value},
    }


def _next_run(automation: Automation) -> str | None:
    """When the schedule is due next, in its time zone."""
    from datetime import UTC, datetime

    from engage_etl.triggers.cron import ticks

    if automation.cron is None or not automation.is_active:
        return None
    return next(ticks(automation.cron, automation.time_zone, datetime.now(UTC))).isoformat()


def _cells(facts: dict[str, Any]) -> tuple[str, ...]:
    zone = f" ({facts['time_zone']})" if facts["time_zone"] else ""
    last = facts["last_import"]
    return (
        facts["name"],
        facts["group"],
        facts["source"],
        facts["schedule"] + zone,
        (facts["next_run"] or "").replace("T", " "),
        "yes" if facts["active"] else "stopped",
        f"{last['import_id']}: {last['status']}" if last else "none yet",
    )


@app.command("run")
def run(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the automation, active or not.")],
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 3 if rows were rejected.")] = False,
    as_json: AsJson = False,
) -> None:
    """Import what waits at the source of an automation now, in the order of arrival; nothing waiting is no error."""
    with errors_as_sentences(as_json=as_json):
        entries = _run(name, as_json=as_json)
    from engage_etl.cli.import_command import worst_exit_code

    raise typer.Exit(worst_exit_code(entries, strict=strict))


def _run(name: str, *, as_json: bool) -> list[Import]:
    """Import and print how it went."""
    from engage_etl.cli.import_command import print_results
    from engage_etl.loading import quick_loading

    with quick_loading():
        from engage_etl.cli.automation_runs import import_what_waits
        from engage_etl.cli.installation import store
        from engage_etl.reports.summary import import_summary
        from engage_etl.settings import load_settings
        from engage_etl.triggers.automations import find_automation

    automation = find_automation(load_settings(), name)
    with store() as opened:
        with only_results_on_stdout():
            entries = import_what_waits(opened, automation, say)
        if as_json:
            print_json([import_summary(entry) for entry in entries])
        elif entries:
            print_results(opened, entries, as_json=False)
        else:
            say(f"No file waits in {automation.source}.")
    return entries
