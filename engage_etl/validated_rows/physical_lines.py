"""Physical lines of a text file, with the place of each in the bytes of the file (R24)."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engage_etl.errors import FileError, FileErrorCode

UNDECODABLE = range(0xDC80, 0xDD00)
"""Code points that stand for bytes that do not fit the encoding (error handler ``surrogateescape``)."""

_BYTE_ORDER_MARKS = {
    "utf-8": (codecs.BOM_UTF8,),
    "utf-16-le": (codecs.BOM_UTF16_LE,),
    "utf-16-be": (codecs.BOM_UTF16_BE,),
}


@dataclass
class PhysicalLines:
    """The lines of a file, decoded one at a time, line ends kept.

    character_set: name of a codec; name: of the file, for messages. Bytes that do not fit are kept as lone surrogates,
    which no valid text has, so that the reader can reject their row and the report can give them back unchanged.
    """

    path: Path
    character_set: str
    name: str

    def __iter__(self) -> Iterator[str]:
        codec = codecs.lookup(self.character_set).name
        with self.path.open("rb") as binary:
            start = binary.read(4)
            skipped = next((len(mark) for mark in _BYTE_ORDER_MARKS.get(codec, ()) if start.startswith(mark)), 0)
        try:
            with self.path.open(encoding=codec, errors=self.errors, newline="") as text:
                if skipped:
                    text.read(1)
                yield from text
        except UnicodeDecodeError as error:
            raise FileError(
                FileErrorCode.ENCODING_INVALID,
                f"{self.name}: the bytes at offset {error.start} of a block are no {self.character_set}; "
                "state the right encoding with --character-set, or save the file as UTF-8.",
            ) from None

    @property
    def errors(self) -> str:
        """How bytes that do not fit are treated; in UTF-16 they cannot be told apart from their neighbours."""
        return "strict" if codecs.lookup(self.character_set).name.startswith("utf-16") else "surrogateescape"

    @property
    def first_offset(self) -> int:
        """Offset of the first line in the file: the length of its byte-order mark."""
        codec = codecs.lookup(self.character_set).name
        with self.path.open("rb") as binary:
            start = binary.read(4)
        return next((len(mark) for mark in _BYTE_ORDER_MARKS.get(codec, ()) if start.startswith(mark)), 0)

    def length(self, line: str) -> int:
        """Bytes that a line takes in the file."""
        if line.isascii() and self.errors != "strict":
            return len(line)
        return len(line.encode(self.character_set, self.errors))

    def undecodable_offset(self, text: str) -> int | None:
        """Offset in bytes of the first one of a text that does not fit the encoding, or None if all do."""
        if text.isascii():
            return None
        for position, character in enumerate(text):
            if ord(character) in UNDECODABLE:
                return self.length(text[:position])
        return None
