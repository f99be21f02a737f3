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
from rich.table import Table
from rich.text import Text

from engage_etl.errors import EngageError, FileError, UsageError
from engage_etl.vocabulary.visible_text import visible as visible  # noqa: PLC0414 - commands know it from here

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
    console = Console(stderr=stderr, highlight=False, emoji=False)
    if console.is_terminal:
        return console
    return Console(stderr=stderr, highlight=False, emoji=False, width=_WIDTH_OF_A_FILE)


def say(sentence: str) -> None:
    """A message for people, on standard error; names in it are printed as they are."""
    message_console().print(visible(sentence), markup=False, soft_wrap=True)


def print_json(document: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(document, ensure_ascii=_is_foreign(), indent=2) + "\n")


def print_json_list(objects: Iterable[Any]) -> None:
    """A JSON list on standard output, object by object, so that memory does not grow with it."""
    separator, escapes = "[\n", _is_foreign()
    for item in objects:
        sys.stdout.write(separator + json.dumps(item, ensure_ascii=escapes))
        separator = ",\n"
    sys.stdout.write("[]\n" if separator == "[\n" else "\n]\n")


def _is_foreign() -> bool:
    """Whether standard output is not UTF-8; JSON in ASCII is read the same everywhere."""
    return (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"


def table(*columns: str, rows: Iterable[Iterable[object]]) -> Table:
    """A plain table of texts, printed as they are; what is long is folded, never cut."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        shown.add_column(name, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(visible("" if cell is None else str(cell))) for cell in row))
    return shown


@contextmanager
def errors_as_sentences(*, as_json: bool) -> Iterator[None]:
    """Turn our errors into a sentence and an exit code; under ``--json`` into an object on standard output."""
    try:
        yield
    except EngageError as error:
        raise typer.Exit(report_error(error, as_json=as_json)) from None


def report_error(error: EngageError, *, as_json: bool) -> ExitCode:
    """Say what went wrong; returns the exit code that goes with it."""
    name = error.code.value if isinstance(error, FileError) else snake_case(type(error).__name__)
    print_error(name, str(error), as_json=as_json)
    return ExitCode.USAGE if isinstance(error, UsageError) else ExitCode.FAILED


def print_error(code: str, message: str, *, as_json: bool) -> None:
    """A sentence on standard error; under ``--json`` an object on standard output."""
    if as_json:
        print_json({"error": {"code": code, "message": message}})
    else:
        shown = "\n".join(visible(line) for line in message.splitlines())
        message_console().print(Text.assemble(("Error:", "bold red"), " ", shown), soft_wrap=True)


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
