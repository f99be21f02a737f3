"""Compressed arrivals: what is in them, and their bytes within limits (R26).

Paths inside an archive are never used as paths: what is unpacked gets a name made of letters that are safe everywhere.
Sizes that an archive states are never trusted; what comes out is counted.
"""

from __future__ import annotations

import gzip
import os
import re
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from engage_etl.errors import FileError, FileErrorCode
from engage_etl.raw_file.archive import private_file, written_aside
from engage_etl.settings import Settings

_BLOCK = 1024 * 1024
_ZIP, _GZIP = b"PK\x03\x04", b"\x1f\x8b"
_ZIP_STARTS = (_ZIP, b"PK\x05\x06")
_RATIO_COUNTS_FROM = 10 * 1024 * 1024
"""Bytes that may come out of a few: a small file of equal lines is no bomb."""

_ENCRYPTED = 0x1
_OFFICE = {"[Content_Types].xml": "an Excel workbook", "xl/": "an Excel workbook", "mimetype": "an OpenDocument file"}
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_NOT_MEANT = re.compile(r"(^|/)(__MACOSX/|\._|\.DS_Store$|Thumbs\.db$)")
BROKEN = (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)
"""What the libraries raise on archives that are broken, encrypted or of a kind that they do not know."""


class Readable(Protocol):
    """What bytes come out of."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at the most so many; none at the end."""


Openable = Path | BinaryIO
"""A file by its path, or one that is open and can be read anywhere."""


def is_gzip(file: Openable) -> bool:
    """Whether a file is compressed by gzip, by its content."""
    return _start(file).startswith(_GZIP)


def is_zip(file: Openable) -> bool:
    """Whether a file is a ZIP archive, by its content."""
    return _start(file).startswith(_ZIP_STARTS)


def archive_entries(file: Openable, name: str, settings: Settings) -> list[str]:
    """The files in a ZIP archive, in its order; what macOS and Windows put beside them is left out.

    name: of the archive, for messages.

    Raises:
        FileError: the archive cannot be read, is empty, encrypted, an office document, has too many files, the same
            name twice, or a name that leads out of it.
    """
    with _broken_as_sentence(name), zipfile.ZipFile(file) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir() and not _NOT_MEANT.search(info.filename)]
    for marker, what in _OFFICE.items():
        if any(info.filename.startswith(marker) for info in infos):
            raise FileError(
                FileErrorCode.FILE_TYPE_UNKNOWN,
                f"{name}: the file looks like {what}; save the sheet as CSV, and import that.",
            )
    if not infos:
        raise _invalid(name, "the archive holds no file; put CSV, XML or text files into it")
    if len(infos) > settings.max_archive_entries:
        raise FileError(
            FileErrorCode.TOO_LARGE,
            f"{name}: the archive holds {len(infos):,} files, and {settings.max_archive_entries:,} are allowed; "
            "divide it, or raise ENGAGE_MAX_ARCHIVE_ENTRIES.",
        )
    for info in infos:
        _refuse_unsafe(info, name)
    ((most_common, count),) = Counter(info.filename for info in infos).most_common(1)
    if count > 1:
        raise _invalid(name, f"the archive holds {most_common!r} {count} times; give each file a name of its own")
    return [info.filename for info in infos]


def only_entry(file: Path, name: str, settings: Settings) -> str:
    """The one file in an archive that was not looked into when it arrived; raises as ``archive_entries`` does."""
    entries = archive_entries(file, name, settings)
    if len(entries) > 1:
        raise _invalid(name, f"the encrypted archive holds {len(entries)} files; encrypt each by itself")
    return entries[0]


def unpack_entry(file: Openable, entry: str, folder: Path, *, name: str, settings: Settings) -> Path:
    """Write one file of a ZIP archive into ``folder``; returns where it is.

    name: archive and entry, for messages.

    Raises:
        FileError: the archive is broken, the entry is another archive, or it grows past the limits.
    """
    with _broken_as_sentence(name), zipfile.ZipFile(file) as archive, archive.open(entry) as reading:
        compressed = archive.getinfo(entry).compress_size
        return write_counted(reading, folder / safe_name(entry), compressed, name=name, settings=settings)


def unpack_gzip(file: Path, folder: Path, *, name: str, settings: Settings) -> Path:
    """Write what a gzip file holds into ``folder``; returns where it is. Raises as ``unpack_entry`` does."""
    with _broken_as_sentence(name), gzip.open(file) as reading:
        inner = safe_name(name[:-3] if name.lower().endswith(".gz") else name)
        return write_counted(reading, folder / inner, file.stat().st_size, name=name, settings=settings)


def safe_name(entry: str) -> str:
    """A file name made of the last part of an entry's name, safe on every file system."""
    return _UNSAFE.sub("_", PurePosixPath(entry.replace("\\", "/")).name)[-100:].lstrip(".") or "file"


def write_counted(
    reading: Readable, target: Path, compressed: int, *, name: str, settings: Settings, may_be_archive: bool = False
) -> Path:
    """Copy in a stream, counting what comes out, and into place once it is whole.

    Raises:
        FileError: another archive comes out, or more than the limits allow.
    """
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    size = 0
    with written_aside(target) as aside, open(aside, "wb", opener=private_file) as writing:
        while block := reading.read(_BLOCK):
            if not size and not may_be_archive:
                _refuse_nested(block, name)
            size += len(block)
            _refuse_too_large(size, compressed, name, settings)
            writing.write(block)
        writing.flush()
        os.fsync(writing.fileno())
    return target


def _refuse_too_large(size: int, compressed: int, name: str, settings: Settings) -> None:
    if size > settings.max_expanded_bytes:
        raise FileError(
            FileErrorCode.TOO_LARGE,
            f"{name}: more than {settings.max_expanded_bytes:,} bytes come out of the archive; divide the file, or raise "
            "ENGAGE_MAX_EXPANDED_BYTES.",
        )
    if size > _RATIO_COUNTS_FROM and size > settings.max_expansion_ratio * max(compressed, 1):
        raise FileError(
            FileErrorCode.TOO_LARGE,
            f"{name}: the archive expands to more than {settings.max_expansion_ratio:,} times its size, as no file of "
            "contacts does; import the unpacked file, or raise ENGAGE_MAX_EXPANSION_RATIO.",
        )


def _refuse_nested(start: bytes, name: str) -> None:
    if start.startswith((*_ZIP_STARTS, _GZIP)):
        raise _invalid(name, "the archive holds another archive or a workbook; unpack it, and import what is in it")


def _refuse_unsafe(info: zipfile.ZipInfo, name: str) -> None:
    path = PurePosixPath(info.filename.replace("\\", "/"))
    is_drive = re.match(r"[A-Za-z]:", info.filename) is not None
    if path.is_absolute() or ".." in path.parts or is_drive or stat.S_ISLNK(info.external_attr >> 16):
        raise _invalid(
            name,
            f"the archive holds {info.filename!r}, which leads out of it; pack the files anew, without paths and links",
        )
    if info.flag_bits & _ENCRYPTED:
        raise _invalid(name, f"{info.filename!r} in the archive is encrypted; pack the files anew, without a password")


@contextmanager
def _broken_as_sentence(name: str) -> Iterator[None]:
    try:
        yield
    except BROKEN as error:
        told = str(error) or type(error).__name__
        raise _invalid(name, f"the archive is broken or cut short ({told}); send it again") from None


def _invalid(name: str, problem: str) -> FileError:
    return FileError(FileErrorCode.ARCHIVE_INVALID, f"{name}: {problem}. Nothing of it was imported.")


def _start(file: Openable) -> bytes:
    if not isinstance(file, Path):
        file.seek(0)
        return file.read(4)
    with file.open("rb") as reading:
        return reading.read(4)
