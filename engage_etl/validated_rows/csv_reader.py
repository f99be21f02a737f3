"""Read a CSV file record by record: exact row numbers, exact cells, no record lost (R4, R24)."""

from __future__ import annotations

import csv
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import NamedTuple

from engage_etl.errors import FileError, FileErrorCode
from engage_etl.validated_rows.header import Header, parse_header
from engage_etl.validated_rows.physical_lines import LineRange, PhysicalLines
from engage_etl.validated_rows.records import Chunk, CustomDefinition, Malformed
from engage_etl.vocabulary.attributes import custom_key
from engage_etl.vocabulary.options import ImportOptions

_CORRECT_IT = "Correct the row and import it again."
_NUL = "it has a NUL character; remove it"


# Possessive, so that a doubled quote never counts as the end.
_QUOTED = re.compile(r'"(?:[^"]++|"")*+"')


class Record(NamedTuple):
    """One record. row: the line on which it starts; offset: of its first byte; cells: None if it is no record."""

    row: int
    offset: int
    text: str
    cells: list[str] | None
    problem: str | None = None


class CsvReader:
    """A CSV file, read in a stream.

    path: of the bytes; name: of the file, for messages; separator: one of ``SEPARATORS``; max_cell_bytes: longest cell;
    part: the range of which records are read, None: all; the header is that of the file.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        separator: str,
        character_set: str,
        options: ImportOptions,
        max_cell_bytes: int,
        part: LineRange | None = None,
    ) -> None:
        self._name, self._separator, self._options = name, separator, options
        self._lines = PhysicalLines(path, character_set, name)
        self._part = part
        self._max_cell_bytes = max_cell_bytes
        self._header: Header | None = None
        self.warnings: list[str] = []

    @property
    def header(self) -> Header:
        """The header of the file.

        Raises:
            HeaderError: it is wrong (R23).
            FileError: the file is empty.
        """
        if self._header is None:
            next(self._data_records(), None)
        assert self._header is not None
        return self._header

    @property
    def columns(self) -> dict[str, str]:
        """Header cell to field, in file order."""
        return self.header.columns

    @property
    def definitions(self) -> dict[str, CustomDefinition]:
        """Custom attributes that the header names; their type is not said."""
        return {custom_key(name): CustomDefinition(name) for name in self.header.custom_names}

    def original_header(self) -> list[str]:
        """The cells of the header as they stand in the file."""
        return list(self.header.cells)

    def chunks(self, size: int) -> Iterator[Chunk]:
        """Read the rows in chunks of up to ``size``; each malformed record is named with what is wrong.

        Raises:
            FileError: header wrong, file empty, or a quote that is never closed.
        """
        header = self.header
        records = self._data_records()
        for first in records:
            yield _as_chunk(header, chain([first], islice(records, size - 1)))

    def originals(self) -> Iterator[tuple[int, list[str]]]:
        """Row number and cells of every record; of a malformed one the text, or the cells that it has."""
        for record in self._data_records():
            yield record.row, record.cells if record.cells is not None else [record.text.rstrip("\r\n")]

    def _data_records(self) -> Iterator[Record]:
        records = self._records(self._lines)
        first = next(records, None)
        if first is None:
            raise FileError(FileErrorCode.FILE_EMPTY, f"{self._name}: the file is empty; expected a header and rows.")
        width = self._read_header(first)
        if self._part is not None and self._part.row > 1:
            records = self._records(replace(self._lines, part=self._part))
        elif self._part is not None:
            records = islice(self._records(replace(self._lines, part=self._part)), 1, None)
        for record in records:
            # What most records pass is asked here, at the price of one look at each.
            if record.cells is not None and len(record.cells) == width and record.text.isascii():
                yield record._replace(problem=_NUL) if "\0" in record.text else record
            else:
                yield record._replace(problem=record.problem or self._fault(record, width))

    def _read_header(self, record: Record) -> int:
        """How many cells the header has."""
        width = len(record.cells or ())
        if (problem := record.problem or self._fault(record, width)) is not None:
            raise FileError(FileErrorCode.CSV_INVALID, f"{self._name}: the header cannot be read: {problem}.")
        if self._header is None:
            self._header = parse_header(record.cells or [], file=self._name, options=self._options)
        return width

    def _fault(self, record: Record, width: int) -> str | None:
        """What is wrong with a record whose quotes are right, if anything is."""
        if (offset := self._lines.undecodable_offset(record.text)) is not None:
            return self._lines.unfit(record.offset + offset)
        if record.cells is not None and len(record.cells) != width:
            return f"it has {_counted(len(record.cells), 'cell')} and the header has {width}"
        return _NUL if "\0" in record.text else None

    def _records(self, lines: PhysicalLines) -> Iterator[Record]:
        """All records of some lines, the header among them; later blank lines are none, but count as lines."""
        row, offset = lines.first_row, lines.first_offset
        for cells, taken, error in parsed_lines(lines, self._separator, self._max_cell_bytes):
            problem = None if error is None else self._quote_problem(error, row, taken)
            text = taken[0] if len(taken) == 1 else "".join(taken)
            if cells != [] or row == 1:
                yield Record(row, offset, text, cells, problem)
            row += len(taken)
            offset += lines.length(text)

    def _quote_problem(self, error: csv.Error, row: int, lines: list[str]) -> str:
        """What is wrong with the quotes of a record.

        Raises:
            FileError: a quote is never closed, so that all that follows would be one cell.
        """
        is_cut_off, is_too_long = "unexpected end of data" in str(error), "field limit" in str(error)
        if not is_cut_off and not is_too_long:
            return 'a quote is followed by other text; double each quote that belongs to the text, as in "a ""b"" c"'
        within = "" if is_cut_off else f" within {self._max_cell_bytes:,} characters (ENGAGE_MAX_CELL_BYTES)"
        opened = _unclosed_quote(lines, self._separator)
        if opened is None:
            return f"one of its cells does not end{within}"
        raise FileError(
            FileErrorCode.CSV_INVALID,
            f"{self._name}: the quote that opens on line {row + opened} is not closed{within}; "
            "close it, or double quotes that belong to the text.",
        ) from None


def parsed_lines(
    lines: Iterable[str], separator: str, max_cell_bytes: int
) -> Iterator[tuple[list[str] | None, list[str], csv.Error | None]]:
    """Cells, lines and error of each record, blank lines among them; the list of lines is the same one each time.

    A record that cannot be read ends with the line that shows it.
    """
    # The limit belongs to the process, and no other part of the program reads CSV.
    csv.field_size_limit(max_cell_bytes)
    taken: list[str] = []
    reader = csv.reader(_noting(lines, taken), delimiter=separator, strict=True)
    while True:
        try:
            cells, error = next(reader), None
        except StopIteration:
            return
        except csv.Error as found:
            cells, error = None, found
        yield cells, taken, error
        taken.clear()


def _noting(lines: Iterable[str], taken: list[str]) -> Iterator[str]:
    """The lines, each noted when it is taken: ``csv.reader`` does not tell which ones made a record."""
    for line in lines:
        taken.append(line)
        yield line


def _unclosed_quote(lines: list[str], separator: str) -> int | None:
    """In which of the lines of a record, counted from 0, the quote opens that is not closed, or None if all are."""
    text, place = "".join(lines), 0
    while (quoted := _QUOTED.match(text, place)) is not None or not text.startswith('"', place):
        place = text.find(separator, quoted.end() if quoted is not None else place) + 1
        if not place:
            return None
    return bisect_right(list(accumulate(len(line) for line in lines)), place)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _as_chunk(header: Header, records: Iterator[Record]) -> Chunk:
    chunk = Chunk()
    # One flat list, cut into columns at the end: lists per record would keep the garbage collector busy.
    cells: list[str | None] = []
    for record in records:
        if record.problem is not None:
            chunk.malformed.append(Malformed(record.row, f"the row cannot be read: {record.problem}. {_CORRECT_IT}"))
        elif record.cells is not None:
            chunk.rows.append(record.row)
            cells.extend(record.cells)
    if chunk.rows:
        places = {field: place for place, field in enumerate(header.fields) if field is not None}
        chunk.columns = {field: cells[place :: len(header.fields)] for field, place in places.items()}
    chunk.key_fields = [header.key_field] * len(chunk.rows)
    return chunk
