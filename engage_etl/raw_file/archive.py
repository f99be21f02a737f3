"""Keep the bytes of an arrival as they are (R28)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engage_etl.errors import FileError, FileErrorCode

_BLOCK = 1024 * 1024
_TRIES = 20


@dataclass(frozen=True)
class ArchivedFile:
    """Kept bytes. sha256: hexadecimal; bytes: how many."""

    path: Path
    sha256: str
    bytes: int


def archive_bytes(source: Path, folder: Path, name: str) -> ArchivedFile:
    """Copy a file to ``<folder>/raw/<name>``, aside first; a source that is written meanwhile is copied again (R27).

    Raises:
        FileError: the source is missing, or is written without end.
    """
    kept = folder / "raw" / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept.parent.mkdir(mode=0o700, exist_ok=True)
    for _ in range(_TRIES):
        try:
            if source == kept:
                return ArchivedFile(kept, _digest(kept), kept.stat().st_size)
            before = source.stat()
            sha256, size = _copy(source, kept)
            after = source.stat()
        except FileNotFoundError:
            raise FileError(
                FileErrorCode.FILE_MISSING,
                f"{name}: the file is no longer at {source}; put it there and import it again.",
            ) from None
        except IsADirectoryError:
            raise FileError(
                FileErrorCode.FILE_MISSING, f"{name}: {source} is a folder; name a file in it, and import that."
            ) from None
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
            return ArchivedFile(kept, sha256, size)
    raise FileError(
        FileErrorCode.FILE_MISSING, f"{name}: the file at {source} is still being written; import it when it is whole."
    )


def _copy(source: Path, target: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with (
        written_aside(target) as aside,
        source.open("rb") as reading,
        open(aside, "wb", opener=private_file) as writing,
    ):
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
