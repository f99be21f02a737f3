"""Read a CSV file record by record: exact row numbers, exact cells, no record lost (R4, R24)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from engage_etl.errors import FileError, FileErrorCode
from engage_etl.validated_rows.header import Header, parse_header
from engage_etl.validated_rows.physical_lines import PhysicalLines
from engage_etl.validated_rows.records import Chunk, CustomDefinition, Malformed
from engage_etl.vocabulary.attributes import custom_key
from engage_etl.vocabulary.options import ImportOptions

_CORRECT_IT = "Correct the row and import it again."


@dataclass
class _Source:
    """Physical lines as ``csv.reader`` takes them, with what was taken since the last record."""

    lines: Iterator[str]
    number: int = 0
    offset: int = 0
    record: list[str] = field(default_factory=list)

    def __iter__(self) -> _Source:
        return self

    def __next__(self) -> str:
        line = next(self.lines)
        self.number += 1
        self.record.append(line)
        return line


@dataclass(frozen=True)
class Record:
    """One record. row: the line on which it starts; offset: of its first byte; cells: None if it is no record."""

    row: int
    offset: int
    text: str
    cells: list[str] | None
    problem: str | None = None


class CsvReader:
    """A CSV file, read in a stream.

    path: of the bytes; name: of the file, for messages; separator: one of ``SEPARATORS``; max_cell_bytes: longest cell.
    """

    def __init__(
        self, path: Path, *, name: str, separator: str, character_set: str, options: ImportOptions, max_cell_bytes: int
    ) -> None:
        self._name, self._separator, self._options = name, separator, options
        self._lines = PhysicalLines(path, character_set, name)
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
        while block := list(islice(records, size)):
            yield _as_chunk(header, block)

    def originals(self) -> Iterator[tuple[int, list[str]]]:
        """Row number and cells of every record; of a malformed one the text, or the cells that it has."""
        for record in self._data_records():
            yield record.row, record.cells if record.cells is not None else [record.text.rstrip("\r\n")]

    def _data_records(self) -> Iterator[Record]:
        records = self._records()
        first = next(records, None)
        if first is None:
            raise FileError(FileErrorCode.FILE_EMPTY, f"{self._name}: the file is empty; expected a header and rows.")
        if first.cells is None:
            raise FileError(
                FileErrorCode.CSV_INVALID, f"{self._name}: the header cannot be read ({first.problem}). Correct it."
            )
        if self._header is None:
            self._header = parse_header(first.cells, file=self._name, options=self._options)
        width = len(first.cells)
        for record in records:
            yield self._judge(record, width)

    def _judge(self, record: Record, width: int) -> Record:
        """The record with what is wrong with it, if anything is."""
        problem = record.problem or self._fault(record, width)
        return record if problem is None else Record(record.row, record.offset, record.text, record.cells, problem)

    def _fault(self, record: Record, width: int) -> str | None:
        text = record.text
        if not text.isascii() and (offset := self._lines.undecodable_offset(text)) is not None:
            return (
                f"the byte at offset {record.offset + offset} does not fit the encoding {self._lines.character_set}; "
                "state the right one with --character-set"
            )
        if record.cells is not None and len(record.cells) != width:
            return f"it has {len(record.cells)} cells and the header has {width}"
        if "\0" in text:
            return "it has a NUL character"
        return None

    def _records(self) -> Iterator[Record]:
        """All records, the header among them; later blank lines are none, but count as lines."""
        source = _Source(iter(self._lines), offset=self._lines.first_offset)
        # The limit belongs to the process, and no other part of the program reads CSV.
        csv.field_size_limit(self._max_cell_bytes)
        reader = csv.reader(source, delimiter=self._separator, strict=True)
        while True:
            row, offset = source.number + 1, source.offset
            source.record.clear()
            try:
                cells: list[str] | None = next(reader)
                problem = None
            except StopIteration:
                return
            except csv.Error as error:
                cells, problem = None, self._quote_problem(error, row)
            text = source.record[0] if len(source.record) == 1 else "".join(source.record)
            source.offset += self._lines.length(text)
            if cells != [] or row == 1:
                yield Record(row, offset, text, cells, problem)

    def _quote_problem(self, error: csv.Error, row: int) -> str:
        """What is wrong with the quotes of a record.

        Raises:
            FileError: a quote is never closed, so that all that follows would be one cell.
        """
        if "unexpected end of data" in str(error) or "field limit" in str(error):
            raise FileError(
                FileErrorCode.CSV_INVALID,
                f"{self._name}: a quote in the record that starts on line {row} is not closed"
                f"{'' if 'end of data' in str(error) else f' within {self._max_cell_bytes:,} characters'}; "
                "close it, or double quotes that belong to the text.",
            ) from None
        return 'a quote is followed by other text; double each quote that belongs to the text, as in "a ""b"" c"'


def _as_chunk(header: Header, records: list[Record]) -> Chunk:
    good = [record for record in records if record.problem is None]
    columns: dict[str, list[str | None]] = {}
    if good:
        cells = zip(*(record.cells or () for record in good), strict=True)
        columns = {field: list(column) for field, column in zip(header.fields, cells, strict=True) if field is not None}
    return Chunk(
        rows=[record.row for record in good],
        columns=columns,
        key_fields=[header.key_field] * len(good),
        malformed=[
            Malformed(record.row, f"the row cannot be read: {record.problem}. {_CORRECT_IT}")
            for record in records
            if record.problem is not None
        ],
    )
