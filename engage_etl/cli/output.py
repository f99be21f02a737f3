"""Results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engage_etl.errors import EngageError, FileError, UsageError

_WIDTH_OF_A_FILE = 400


class ExitCode(IntEnum):
    """How a command ends."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    ROWS_REJECTED = 3


WORST_FIRST = (ExitCode.USAGE, ExitCode.FAILED, ExitCode.ROWS_REJECTED, ExitCode.DONE)
"""Which exit code counts where several imports end differently."""


def result_console() -> Console:
    """Where results go."""
    return _console(stderr=False)


def message_console() -> Console:
    """Where progress and messages go."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    """A console that folds lines at the width of a terminal, and hardly ever in a file or a pipe."""
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=_WIDTH_OF_A_FILE)


def print_json(document: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")


def print_json_list(objects: Iterable[Any]) -> None:
    """A JSON list on standard output, object by object, so that memory does not grow with it."""
    separator = "[\n"
    for item in objects:
        sys.stdout.write(separator + json.dumps(item, ensure_ascii=False))
        separator = ",\n"
    sys.stdout.write("[]\n" if separator == "[\n" else "\n]\n")


def table(*columns: str, rows: Iterable[Iterable[object]]) -> Table:
    """A plain table of texts; what is long is folded, never cut."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        shown.add_column(name, overflow="fold")
    for row in rows:
        shown.add_row(*(cell if isinstance(cell, str) else "" if cell is None else str(cell) for cell in row))
    return shown


@contextmanager
def errors_as_sentences(*, as_json: bool) -> Iterator[None]:
    """Turn our errors into a sentence and an exit code; under ``--json`` into an object on standard output."""
    try:
        yield
    except EngageError as error:
        code = ExitCode.USAGE if isinstance(error, UsageError) else ExitCode.FAILED
        report_error(error, as_json=as_json)
        raise typer.Exit(code) from None


def report_error(error: EngageError, *, as_json: bool) -> None:
    """Say what went wrong."""
    if as_json:
        name = error.code.value if isinstance(error, FileError) else snake_case(type(error).__name__)
        print_json({"error": {"code": name, "message": str(error)}})
    else:
        message_console().print(f"[bold red]Error:[/] {escape(str(error))}")


def snake_case(name: str) -> str:
    """``ImportUnknown`` as ``import_unknown``."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


@contextmanager
def only_results_on_stdout() -> Iterator[None]:
    """Let libraries that print do so on standard error: descriptor 1 is theirs only until the results are printed."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
