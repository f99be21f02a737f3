"""Kept files in a folder of this machine: each is where its path says, and nothing is ever copied."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FilesHere:
    """A folder: that of the installation, or one that several machines have mounted, which is shared then."""

    root: Path
    is_shared: bool = False

    def shown(self, path: Path) -> str:
        """The path."""
        return str(path)

    def fetched(self, path: Path) -> Path:
        """It is here already."""
        return path

    def publish(self, *paths: Path) -> None:
        """Whoever wrote them has put them in place."""

    def take_in(self, file: Path, path: Path) -> None:
        """Copied aside, and put in place whole."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = path.with_name(path.name + ".part")
        aside.touch(mode=0o600)
        shutil.copyfile(file, aside)
        aside.replace(path)

    def size_of(self, path: Path) -> tuple[int, int]:
        """Links hold nothing."""
        sizes = [file.stat().st_size for file in files_in(path)]
        return len(sizes), sum(sizes)

    def remove(self, path: Path) -> None:
        """A link goes, and not what it leads to."""
        take_away(path)

    def release(self, import_id: str) -> None:
        """Nothing was copied."""

    def close(self) -> None:
        """Nothing was copied."""


def take_away(path: Path) -> None:
    """Remove a file, a link, or a folder with all that it holds; nothing happens where nothing is."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def files_in(path: Path) -> Iterator[Path]:
    """The file itself, or all files in a folder and below it, without links."""
    if path.is_symlink() or not os.path.lexists(path):
        return
    if path.is_dir():
        yield from (file for file in sorted(path.rglob("*")) if file.is_file() and not file.is_symlink())
    elif path.is_file():
        yield path
