"""Files that only their owner may read (R41), written aside and put in place as a whole."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from engage_etl.own_files import sync_folder

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """A new, empty folder to write into, which takes the place of ``folder`` once everything is written.

    If writing fails, ``folder`` stays as it was. What an earlier process left behind is removed. The caller sees to it
    that no other process replaces the same folder.
    """
    folder.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    for left_behind in folder.parent.glob(f".{folder.name}.aside-*"):
        shutil.rmtree(left_behind)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.aside-", dir=folder.parent))
    try:
        yield aside
        sync_folder(aside)
        _put_in_place(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def private_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing bytes that only its owner may read; it is on the disk when the block ends."""
    with open(path, "wb", opener=_private_opener) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def private_text_file(path: Path, *, character_set: str = "utf-8", errors: str = "strict") -> Iterator[TextIO]:
    """Open a text file for writing that only its owner may read; it is on the disk when the block ends.

    Line ends are written as given.
    """
    with open(path, "w", encoding=character_set, errors=errors, newline="", opener=_private_opener) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _put_in_place(aside: Path, folder: Path) -> None:
    """Swap the folders; a folder cannot be renamed over one that has files."""
    former = Path(tempfile.mkdtemp(prefix=f".{folder.name}.aside-", dir=folder.parent))
    try:
        if folder.exists():
            folder.rename(former / "former")
        aside.rename(folder)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(former, ignore_errors=True)


def _private_opener(path: str, flags: int) -> int:
    return os.open(path, flags, PRIVATE_FILE)
