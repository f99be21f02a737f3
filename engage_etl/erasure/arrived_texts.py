"""Whether a file that arrived names somebody: as text, also inside an archive, whatever its format."""

from __future__ import annotations

import codecs
import gzip
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from engage_etl.erasure.person import Person
from engage_etl.raw_file.stage import BROKEN, is_gzip, is_zip

_BLOCK = 1024 * 1024
_OVERLAP = 8 * 1024
"""Characters of a block that are looked at again with the next: longer than any identifier or address."""


def names_person(path: Path, character_set: str | None, person: Person) -> bool:
    """Whether the file, or one in it if it is an archive, has one of the longer spellings of the person.

    character_set: as was found out, None if nothing was.
    """
    with suppress(FileNotFoundError, IsADirectoryError):
        return any(_is_named(stream, character_set, person) for stream in _streams(path))
    return False


def _streams(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, or of all files in an archive."""
    with path.open("rb") as file:
        is_packed, is_archive = is_gzip(file), is_zip(file)
        file.seek(0)
        if is_packed:
            with gzip.open(file) as unpacked:
                yield unpacked  # type: ignore[misc]
        elif is_archive:
            with suppress(*BROKEN), zipfile.ZipFile(file) as archive:
                for info in archive.infolist():
                    with suppress(*BROKEN), archive.open(info) as entry:
                        yield entry
        else:
            yield file


def _is_named(stream: IO[bytes], character_set: str | None, person: Person) -> bool:
    decoder, rest = None, ""
    with suppress(*BROKEN):  # of what is cut short, what can be read
        while block := stream.read(_BLOCK):
            decoder = decoder or codecs.getincrementaldecoder(character_set or _guessed(block))(errors="replace")
            text = rest + decoder.decode(block)
            if person.is_named_in(text):
                return True
            rest = text[-_OVERLAP:]
    return False


def _guessed(start: bytes) -> str:
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    zeros = start[:1000].count(0)
    if zeros > len(start[:1000]) // 3:
        return "utf-16-be" if start[:1] == b"\0" else "utf-16-le"
    return "utf-8"
