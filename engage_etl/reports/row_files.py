"""``rejected.csv`` and ``skipped.csv``: the original rows, each with what became of it and why (R39)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from engage_etl.reports.private_files import private_text_file
from engage_etl.vocabulary.file_format import unfit_bytes_kept
from engage_etl.vocabulary.outcomes import Outcome, Reason

ADDED_COLUMNS = ("import.row", "import.reason", "import.message")
"""Columns that follow the original ones; an import ignores them."""

ROW_FILES = {Outcome.REJECTED: "rejected.csv", Outcome.SKIPPED: "skipped.csv"}

_FALLBACK = "utf-8"
_BYTE_ORDER_MARK = "\ufeff"
_LINE_END = "\r\n"  # Python 3.11 quotes a lone carriage return inside a cell only if the line end has one


@dataclass(frozen=True)
class RowOutcome:
    """A row that was rejected or skipped. row: row number; reason, message: as in the plan, masked."""

    row: int
    outcome: Outcome
    reason: str
    message: str


class RowSource(Protocol):
    """Where row files are made from; each iterator starts anew when asked for."""

    def header(self) -> list[str]:
        """The original header cells; for XML the CSV headers of the fields that occur."""
        ...

    def originals(self) -> Iterator[tuple[int, list[str]]]:
        """Row number and original cells of every record, ascending."""
        ...

    def outcomes(self) -> Iterator[RowOutcome]:
        """The rejected and skipped rows, ascending."""
        ...


@dataclass(frozen=True)
class RowFormat:
    """How row files are written. separator: one character; character_set: name of a codec; is_marked: with BOM."""

    separator: str = ","
    character_set: str = _FALLBACK
    is_marked: bool = False


def write_row_files(folder: Path, source: RowSource, row_format: RowFormat) -> None:
    """Write both files, in the format of the source if every message fits its encoding, else in UTF-8.

    Bytes that are no text in the encoding of the source are written as they were read.
    """
    try:
        _write(folder, source, row_format)
    except UnicodeEncodeError:
        _write(folder, source, replace(row_format, character_set=_FALLBACK))


def _write(folder: Path, source: RowSource, row_format: RowFormat) -> None:
    header = source.header()
    kept = OriginalColumns(header)
    with ExitStack() as files:
        writers = {}
        for outcome, name in ROW_FILES.items():
            errors = unfit_bytes_kept(row_format.character_set)
            file = files.enter_context(
                private_text_file(folder / name, character_set=row_format.character_set, errors=errors)
            )
            file.write(_BYTE_ORDER_MARK if row_format.is_marked else "")
            writers[outcome] = csv.writer(file, delimiter=row_format.separator, lineterminator=_LINE_END)
            writers[outcome].writerow([*kept.of(header), *ADDED_COLUMNS])
        for row, cells in join_originals(source.outcomes(), source.originals()):
            message = _fitting(row.message, row_format.character_set)
            writers[row.outcome].writerow([*kept.of(cells), row.row, row.reason, message])


def join_originals(
    outcomes: Iterable[RowOutcome], originals: Iterable[tuple[int, list[str]]]
) -> Iterator[tuple[RowOutcome, list[str]]]:
    """Each outcome with the original cells of the row that has its row number; both ascending, neither held in memory.

    A row number that the file does not have gets no cells, so that the report still names it.
    """
    remaining = iter(originals)
    row, cells = 0, list[str]()
    for outcome in outcomes:
        while row < outcome.row:
            row, cells = next(remaining, (_PAST_THE_END, []))
        yield outcome, cells if row == outcome.row else []


_PAST_THE_END = 2**63


class OriginalColumns:
    """Takes away the columns that an earlier report added, where a corrected ``rejected.csv`` was imported.

    In a row with too few or too many cells they are taken off the end, if what is there is what a report writes.
    """

    def __init__(self, header: list[str]) -> None:
        self._added = {place for place, cell in enumerate(header) if cell.lower() in ADDED_COLUMNS}
        self._length = len(header)

    def of(self, cells: list[str]) -> list[str]:
        """The cells without those columns."""
        if not self._added:
            return cells
        if len(cells) == self._length:
            return [cell for place, cell in enumerate(cells) if place not in self._added]
        return cells[:-3] if _are_added(cells[-3:]) else cells


def _are_added(cells: list[str]) -> bool:
    return len(cells) == len(ADDED_COLUMNS) and cells[0].isdigit() and cells[1] in set(Reason)


def _fitting(message: str, character_set: str) -> str:
    """The message, with three dots for the ellipsis of masked values where the encoding has none."""
    try:
        message.encode(character_set)
    except UnicodeEncodeError:
        return message.replace("…", "...")
    return message
