"""Ranges of a large file, each of which can be read and checked by itself, with the same outcome (R4, R24).

A range begins where a record does, and holds as many records as so many whole chunks: the chunks of all ranges together are
those of the file in one piece, and so are the stage files made of them. Blocks of the file are looked at as numbers, all
bytes at once; where quotes stand otherwise than around whole cells, records are parsed as the reader parses them.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engage_etl.errors import FileError
from engage_etl.validated_rows.csv_reader import parsed_lines
from engage_etl.validated_rows.physical_lines import LineRange, PhysicalLines
from engage_etl.validated_rows.reading import open_reader
from engage_etl.validated_rows.records import RecordReader
from engage_etl.vocabulary.file_format import FileFormat
from engage_etl.vocabulary.options import FileType, ImportOptions

_BLOCK = 1024 * 1024
_ONE_BYTE = re.compile(r"utf-8|ascii|iso8859-\d+|cp125\d")
"""Codecs in which a byte below 128 is always the ASCII character, whatever stands before it."""
_TWO_BYTES = {"utf-16-le": "<u2", "utf-16-be": ">u2"}
_FEED, _RETURN, _QUOTE = ord("\n"), ord("\r"), ord('"')

Numbers = NDArray[Any]


class _Records(NamedTuple):
    """Consecutive records, blank lines among them.

    ends: offset in the file after each; is_blank: whether it is a blank line; lines: how many lines there are up to its end.
    """

    ends: Numbers
    is_blank: Numbers
    lines: Numbers


_NOTHING = _Records(np.empty(0, int), np.empty(0, bool), np.empty(0, int))


@dataclass(frozen=True)
class ReadableFile:
    """A file that can be read as a whole or in ranges.

    path: of the bytes; name: of the file, for messages; max_cell_bytes: longest cell of a CSV file; block_bytes: how much
    is looked at at a time.
    """

    path: Path
    name: str
    format: FileFormat
    options: ImportOptions
    max_cell_bytes: int
    block_bytes: int = _BLOCK

    def reader(self, part: LineRange | None = None) -> RecordReader:
        """A reader of one range, or of all."""
        return open_reader(
            self.path,
            name=self.name,
            format=self.format,
            options=self.options,
            max_cell_bytes=self.max_cell_bytes,
            part=part,
        )

    @property
    def is_divisible(self) -> bool:
        """Whether its format lets records be found without reading them all: CSV and text lists in usual encodings."""
        return self.format.file_type is not FileType.XML and self._unit is not None

    def ranges(self, range_bytes: int, chunk_rows: int) -> Iterator[LineRange]:
        """Divide the file into ranges of at least so many bytes, the last one perhaps less; at least one.

        chunk_rows: records of a chunk; a range ends where one does.
        """
        start, row = self._lines.first_offset, 1
        # The header is no record of a chunk.
        before, lines = -1 if self.format.file_type is FileType.CSV else 0, 0
        for found in self._records() if self.is_divisible else ():
            counts = before + np.cumsum(~found.is_blank)
            wholes = range(max(before, 0) // chunk_rows + 1, int(counts[-1]) // chunk_rows + 1)
            for place in np.searchsorted(counts, [whole * chunk_rows for whole in wholes]):
                end, next_row = int(found.ends[place]), 1 + lines + int(found.lines[place])
                if end - start >= range_bytes and end < self._size:
                    yield LineRange(start, row, next_row - row)
                    start, row = end, next_row
            before, lines = int(counts[-1]), lines + int(found.lines[-1])
        yield LineRange(start, row, None)

    def _records(self) -> Iterator[_Records]:
        """All records of the file, but for what follows the last line end; block by block."""
        offset, line, size = self._lines.first_offset, 1, self.block_bytes
        with self.path.open("rb") as file:
            while offset < self._size:
                file.seek(offset)
                block = file.read(size)
                is_last = offset + len(block) >= self._size
                found = self._in_block(block, offset)
                if found is None and not is_last and size < self.max_cell_bytes:
                    size *= 2
                    continue
                if found is None or not found.ends.size:
                    found = self._parsed(offset, line, offset + len(block))
                if not found.ends.size:
                    return
                yield found
                offset, line, size = int(found.ends[-1]), line + int(found.lines[-1]), self.block_bytes

    def _in_block(self, block: bytes, offset: int) -> _Records | None:
        """The records of a block that begins with one; nothing if they have to be parsed, None if the first is longer."""
        unit = np.dtype(self._unit)
        text = np.frombuffer(block, unit, count=len(block) // unit.itemsize)
        line_ends = _line_ends(text)
        quotes = np.flatnonzero(text == _QUOTE) if self.format.file_type is FileType.CSV else text[:0]
        # After an even number of quotes, a line end is one of the record too.
        ends = line_ends[np.searchsorted(quotes, line_ends) % 2 == 0]
        if not ends.size:
            return None
        starts = np.concatenate(([0], ends[:-1]))
        quotes = quotes[quotes < ends[-1]]
        if quotes.size and (not self._are_around_cells(text, quotes) or (ends - starts).max() > self.max_cell_bytes):
            return _NOTHING
        is_blank = (text[starts] == _FEED) | (text[starts] == _RETURN)
        return _Records(ends * unit.itemsize + offset, is_blank, np.searchsorted(line_ends, ends, "right"))

    def _are_around_cells(self, text: Numbers, quotes: Numbers) -> bool:
        """Whether quotes open where a cell begins and close where it ends, or are doubled within; then they come in pairs."""
        beside = [ord(self.format.separator or ","), _FEED, _RETURN, _QUOTE]
        opening, closing = quotes[0::2], quotes[1::2]
        opening = opening[opening > 0]
        return bool(np.isin(text[opening - 1], beside).all() and np.isin(text[closing + 1], beside).all())

    def _parsed(self, offset: int, line: int, at_least_to: int) -> _Records:
        """The records from here on up to some place, as the reader parses them; nothing if there are no more."""
        rest = replace(self._lines, part=LineRange(offset, line, None))
        ends: list[int] = []
        is_blank: list[bool] = []
        lines: list[int] = []
        taken_lines = 0
        try:
            for cells, taken, _ in self._parsed_lines(rest):
                offset, taken_lines = offset + rest.length("".join(taken)), taken_lines + len(taken)
                ends.append(offset)
                is_blank.append(cells == [])
                lines.append(taken_lines)
                if offset >= at_least_to:
                    break
        except FileError:
            # The file ends within a character: told by the reader of the last range, after what is wrong before.
            pass
        return _Records(np.array(ends), np.array(is_blank), np.array(lines))

    def _parsed_lines(self, lines: PhysicalLines) -> Iterator[tuple[list[str] | None, list[str], Any]]:
        if self.format.file_type is FileType.CSV:
            assert self.format.separator is not None, "a CSV file has a separator"
            return parsed_lines(lines, self.format.separator, self.max_cell_bytes)
        return (([line] if line.rstrip("\r\n") else [], [line], None) for line in lines)

    @cached_property
    def _lines(self) -> PhysicalLines:
        return PhysicalLines(self.path, self.format.character_set, self.name)

    @cached_property
    def _size(self) -> int:
        return self.path.stat().st_size

    @cached_property
    def _unit(self) -> str | None:
        """How its characters are looked at as numbers; None where the meaning of a byte depends on those before."""
        codec = codecs.lookup(self.format.character_set).name
        return "u1" if _ONE_BYTE.fullmatch(codec) else _TWO_BYTES.get(codec)


def _line_ends(text: Numbers) -> Numbers:
    """The places after each line end; a return at the end of the text is none, as a feed may follow."""
    is_feed = text == _FEED
    is_return = (text[:-1] == _RETURN) & ~is_feed[1:]
    is_feed[:-1] |= is_return
    return np.flatnonzero(is_feed) + 1
