"""Folders of this machine, and what it has mounted."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from engage_etl.sources.storage import BLOCK, FileState


class LocalFiles:
    """Local folders; what the file system refuses is an OSError, as everywhere."""

    are_files_whole = False

    def list_files(self, folder: Path) -> list[tuple[str, FileState]]:
        """Name and state of the visible files in a folder; one that is taken away meanwhile is left out."""
        found = []
        for file in visible_files(folder):
            state = self.find(file)
            if state is not None:
                found.append((file.name, state))
        return found

    def find(self, file: Path) -> FileState | None:
        """What a file is now, or None if there is none."""
        try:
            found = file.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return FileState(found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None

    def is_being_written(self, file: Path) -> bool:
        """Whether some process on this machine still has the file open for writing, however long it pauses (R27).

        The kernel refuses a read lease on such a file. Where it cannot tell (another machine's file, another owner's),
        the time without growth has to do.
        """
        if not hasattr(fcntl, "F_SETLEASE"):
            return False
        with suppress(OSError), file.open("rb") as reading:
            # Whoever opens it for writing in this moment makes the kernel send a signal; this one is ignored by default.
            fcntl.fcntl(reading, getattr(fcntl, "F_SETSIG", 10), signal.SIGWINCH)
            try:
                fcntl.fcntl(reading, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            except BlockingIOError:
                return True
            fcntl.fcntl(reading, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False

    def open(self, file: Path, block: int = BLOCK, state: FileState | None = None) -> BinaryIO:
        """The bytes of a file; the system decides how many it reads at a time."""
        return file.open("rb")

    def move(self, file: Path, target: Path, state: FileState | None = None) -> bool:
        """Rename a file on its own file system; one that has changed since it was looked at is renamed as it is."""
        if not target.exists():
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                file.rename(target)
        return target.exists()

    def close(self) -> None:
        """Nothing to give up."""


def visible_files(folder: Path) -> list[Path]:
    """Files whose name begins with a dot are not meant to be taken: many programs write such ones first."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if not entry.name.startswith(".") and entry.is_file()]
