"""The progress bar of imports, on standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from engage_etl.cli.output import message_console
from engage_etl.triggers.resources import ReportedProgress

_STAGES = {
    "raw_file": "keeping the file",
    "validated_rows": "checking rows",
    "match_plan": "planning",
    "applied_updates": "applying",
}


@contextmanager
def import_progress() -> Iterator[ReportedProgress]:
    """A bar that moves on with the stages of each import; nothing where standard error is no terminal."""
    console = message_console()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[rows]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task: TaskID = bar.add_task("starting", total=len(_STAGES), rows="")

        def on_stage(name: str, _: int | None) -> None:
            bar.update(task, description=_STAGES[name], completed=list(_STAGES).index(name))

        def on_rows(done: int) -> None:
            bar.update(task, rows=f"{done:,} rows")

        yield ReportedProgress(on_stage, on_rows)
