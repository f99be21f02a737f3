"""Physical lines of a text file, with the place of each in the bytes of the file (R24)."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from engage_etl.errors import FileError, FileErrorCode
from engage_etl.vocabulary.file_format import unfit_bytes_kept

UNDECODABLE = re.compile("[\ud800-\udfff]")
"""Code points that stand for bytes that do not fit the encoding; no valid text has them."""

_BLOCK = 1024 * 1024
_BYTE_ORDER_MARKS = {
    "utf-8": (codecs.BOM_UTF8,),
    "utf-16-le": (codecs.BOM_UTF16_LE,),
    "utf-16-be": (codecs.BOM_UTF16_BE,),
}


class LineRange(NamedTuple):
    """Some consecutive lines of a file. offset: of their first byte; row: number of the first one, from 1.

    lines: how many; None: all that follow.
    """

    offset: int
    row: int
    lines: int | None


@dataclass
class PhysicalLines:
    """The lines of a file, decoded one at a time, line ends kept.

    character_set: name of a codec; name: of the file, for messages; part: the lines that are read, None: all. Bytes that
    do not fit are kept as lone surrogates, which no valid text has, so that the reader can reject their row and the
    report can give them back unchanged.
    """

    path: Path
    character_set: str
    name: str
    part: LineRange | None = None

    def __iter__(self) -> Iterator[str]:
        try:
            with self.path.open(encoding=self._codec, errors=self.errors, newline="") as text:
                if self.part is not None:
                    text.seek(self.part.offset)
                    yield from islice(text, self.part.lines)
                    return
                if self.first_offset:
                    text.read(1)
                yield from text
        except UnicodeDecodeError as error:
            raise FileError(
                FileErrorCode.ENCODING_INVALID,
                f"{self.name}: the byte at offset {self._first_unfit_byte()} does not fit the encoding "
                f"{self.character_set} ({error.reason}); state the right one with --character-set, "
                "or save the file as UTF-8.",
            ) from None

    @cached_property
    def errors(self) -> str:
        """How bytes that do not fit are kept."""
        return unfit_bytes_kept(self._codec)

    @cached_property
    def first_offset(self) -> int:
        """Offset of the first line in the file: where the part begins, else the length of the byte-order mark."""
        if self.part is not None:
            return self.part.offset
        with self.path.open("rb") as binary:
            start = binary.read(4)
        return next((len(mark) for mark in _BYTE_ORDER_MARKS.get(self._codec, ()) if start.startswith(mark)), 0)

    @property
    def first_row(self) -> int:
        """Number of the first line."""
        return 1 if self.part is None else self.part.row

    def length(self, text: str) -> int:
        """Bytes that a text takes in the file."""
        if text.isascii() and self.errors == "surrogateescape":
            return len(text)
        return len(text.encode(self._codec, self.errors))

    def undecodable_offset(self, text: str) -> int | None:
        """Offset in bytes of the first one of a text that does not fit the encoding, or None if all do."""
        found = UNDECODABLE.search(text)
        return None if found is None else self.length(text[: found.start()])

    def unfit(self, offset: int) -> str:
        """What is wrong with a byte that does not fit. offset: of the byte in the file."""
        return (
            f"the byte at offset {offset} does not fit the encoding {self.character_set}; "
            "state the right one with --character-set"
        )

    @cached_property
    def _codec(self) -> str:
        return codecs.lookup(self.character_set).name

    def _first_unfit_byte(self) -> int:
        """Offset in the file; a decoder that works in blocks counts from the start of its block."""
        decoder, before = codecs.getincrementaldecoder(self._codec)(), 0
        with self.path.open("rb") as binary:
            while True:
                block = binary.read(_BLOCK)
                kept = len(decoder.getstate()[0])
                try:
                    decoder.decode(block, final=not block)
                except UnicodeDecodeError as error:
                    return before - kept + error.start
                before += len(block)
