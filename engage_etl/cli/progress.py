"""The progress bar of imports, on standard error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from engage_etl.cli.output import message_console, visible
from engage_etl.triggers.resources import ReportedProgress

_STAGES = {
    "raw_file": "keeping the file",
    "validated_rows": "checking rows",
    "match_plan": "planning",
    "applied_updates": "applying",
}


@contextmanager
def import_progress(files: Sequence[str]) -> Iterator[ReportedProgress]:
    """A bar that moves on with the stages of each import; nothing where standard error is no terminal.

    files: names of the files, in the order in which they are imported.
    """
    console = message_console()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[file]}", markup=False),
        BarColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.fields[rows]}"),
        TimeElapsedColumn(),
    )
    waiting = iter(files)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=len(_STAGES), rows="", file="")

        def on_stage(name: str, rows: int | None) -> None:
            done = list(_STAGES).index(name)
            if done == 0:
                bar.reset(task, file=visible(next(waiting, "")), rows="")
            bar.update(task, description=_STAGES[name], completed=done)
            if rows is not None:
                bar.update(task, rows=f"{rows:,} rows")

        def on_rows(done: int) -> None:
            bar.update(task, rows=f"{done:,} rows")

        yield ReportedProgress(on_stage, on_rows)
