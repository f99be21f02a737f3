"""The progress bar of imports, on standard error, and what is said meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from engage_etl.cli.output import message_console, visible
from engage_etl.triggers.resources import ReportedProgress
from engage_etl.vocabulary.counting import counted

_STAGES = {
    "raw_file": "keeping the file",
    "validated_rows": "checking rows",
    "match_plan": "planning",
    "applied_updates": "applying",
}


class _Messages(logging.Handler):
    """Prints what our modules tell people, as that an import waits for others; above the bar where there is one."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print the sentence of a record."""
        self._console.print(visible(record.getMessage()), markup=False, soft_wrap=True)


@contextmanager
def _messages_on(console: Console) -> Iterator[None]:
    logger, messages = logging.getLogger("engage_etl"), _Messages(console)
    logger.addHandler(messages)
    try:
        yield
    finally:
        logger.removeHandler(messages)


@contextmanager
def import_progress(files: Sequence[str]) -> Iterator[ReportedProgress]:
    """A bar that moves on with the stages of each import, only where standard error is a terminal; and messages.

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
    with (
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
        _messages_on(console),
    ):
        task = bar.add_task("starting", total=len(_STAGES), rows="", file="")

        def on_stage(name: str, rows: int | None) -> None:
            done = list(_STAGES).index(name)
            if done == 0 or not bar.tasks[0].fields["file"]:  # a run may begin with a later stage
                bar.reset(task, file=visible(next(waiting, "")), rows="")
            bar.update(task, description=_STAGES[name], completed=done)
            if rows is not None:
                bar.update(task, rows=counted(rows, "row"))

        def on_rows(done: int) -> None:
            bar.update(task, rows=counted(done, "row"))

        yield ReportedProgress(on_stage, on_rows)
