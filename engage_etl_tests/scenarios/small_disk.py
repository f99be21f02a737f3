"""A disk of a few megabytes that can be filled up: a tmpfs, which only root may mount."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class SmallDisk:
    """A disk of its own. folder: where it is mounted."""

    folder: Path

    def leave(self, room: int) -> None:
        """Fill it up, but for so many bytes."""
        self.make_room()
        state = os.statvfs(self.folder)
        used_up = state.f_bavail * state.f_frsize - room
        assert used_up > 0
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, used_up)

    def make_room(self) -> None:
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"


@contextmanager
def small_disk(mebibytes: int, owner: tuple[int, int] | None = None) -> Iterator[SmallDisk]:
    """Mount a disk of this size, which belongs to a user and a group, and is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="engage-disk-"))
    folder.chmod(0o755)
    try:
        uid, gid = owner or (os.geteuid(), os.getegid())
        options = f"size={mebibytes * _MEBIBYTE},uid={uid},gid={gid},mode=755"
        _mount("-t", "tmpfs", "-o", options, "tmpfs", str(folder))
        try:
            yield SmallDisk(folder)
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
    finally:
        folder.rmdir()


def _mount(*arguments: str) -> None:
    try:
        ended = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
        problem = ended.stderr.strip() if ended.returncode else None
    except FileNotFoundError as error:
        problem = str(error)
    if problem is not None:
        reason = f"a small disk cannot be mounted here ({problem}); only root may, where the kernel lets it"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
