"""Keep the bytes of an arrival as they are (R28)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from engage_etl.errors import FileError, FileErrorCode
from engage_etl.sources.local import LocalFiles
from engage_etl.sources.storage import Storage
from engage_etl.vocabulary.locations import Location

_BLOCK = 1024 * 1024
_TRIES = 20


@dataclass(frozen=True)
class ArchivedFile:
    """Kept bytes. sha256: hexadecimal; bytes: how many."""

    path: Path
    sha256: str
    bytes: int


def archive_bytes(source: Location, folder: Path, name: str, storage: Storage[Any] | None = None) -> ArchivedFile:
    """Copy a file to ``<folder>/raw/<name>``, aside first; a source that is written meanwhile is copied again (R27).

    storage: where the source lies, local if not stated.

    Raises:
        FileError: the source is missing, or is written without end.
        SourceUnavailable: the source does not answer.
    """
    kept = folder / "raw" / name
    files: Storage[Any] = storage or LocalFiles()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept.parent.mkdir(mode=0o700, exist_ok=True)
    for _ in range(_TRIES):
        try:
            if source == kept:
                return ArchivedFile(kept, _digest(kept), kept.stat().st_size)
            before = files.find(source)
            with files.open(source) as reading:
                sha256, size = _copy(reading, kept)
            after = files.find(source)
        except FileNotFoundError:
            raise FileError(
                FileErrorCode.FILE_MISSING,
                f"{name}: the file is no longer at {source}; put it there and import it again.",
            ) from None
        except IsADirectoryError:
            raise FileError(
                FileErrorCode.FILE_MISSING, f"{name}: {source} is a folder; name a file in it, and import that."
            ) from None
        if before == after:
            return ArchivedFile(kept, sha256, size)
    raise FileError(
        FileErrorCode.FILE_MISSING, f"{name}: the file at {source} is still being written; import it when it is whole."
    )


def _copy(reading: BinaryIO, target: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with written_aside(target) as aside, open(aside, "wb", opener=private_file) as writing:
        while block := reading.read(_BLOCK):
            digest.update(block)
            size += len(block)
            writing.write(block)
        writing.flush()
        os.fsync(writing.fileno())
    return digest.hexdigest(), size


@contextmanager
def written_aside(target: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of ``target`` when all is written; of what fails nothing is left."""
    aside = target.with_name(target.name + ".part")
    try:
        yield aside
        aside.replace(target)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def private_file(path: str, flags: int) -> int:
    """Open a file as one that only its owner can read, for ``open(..., opener=...)``."""
    return os.open(path, flags, 0o600)


def _digest(file: Path) -> str:
    with file.open("rb") as reading:
        return hashlib.file_digest(reading, "sha256").hexdigest()
