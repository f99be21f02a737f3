"""What every kind of source can do, and what it tells about a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Protocol, TypeVar

BLOCK = 4 * 1024 * 1024
"""Bytes that are asked for at a time when a whole file is read from elsewhere."""

Place_contra = TypeVar("Place_contra", contravariant=True)


@dataclass(frozen=True)
class FileState:
    """What a file is at a moment; another state is another arrival.

    size: bytes; modified: nanoseconds since the epoch; tag: of an S3 object, which changes with its bytes, else blank.
    """

    size: int
    modified: int
    tag: str = ""

    def __str__(self) -> str:
        return f"{self.size} {self.modified} {self.tag}"

    @classmethod
    def read(cls, text: str) -> FileState:
        """What ``str`` made of a state, as it stands in the register."""
        size, modified, tag = text.split(" ", 2)
        return cls(int(size), int(modified), tag)


class Storage(Protocol[Place_contra]):
    """The files of one address. Methods that ask it raise SourceUnavailable if it does not answer or refuses.

    are_files_whole: a file that can be seen is complete, so that nobody need wait until it has stopped growing (R27).
    """

    are_files_whole: bool

    def list_files(self, folder: Place_contra) -> list[tuple[str, FileState]]:
        """Name and state of the files that lie in a folder itself and whose names do not begin with a dot."""

    def find(self, file: Place_contra) -> FileState | None:
        """What a file is now, or None if there is none."""

    def is_being_written(self, file: Place_contra) -> bool:
        """Whether somebody is known to have the file open for writing (R27)."""

    def open(self, file: Place_contra, block: int = BLOCK, state: FileState | None = None) -> BinaryIO:
        """The bytes of a file, to be read anywhere; block: bytes asked for at a time; state: of the file, if it is known.

        Raises:
            FileNotFoundError: there is none.
        """

    def move(self, file: Place_contra, target: Place_contra, state: FileState | None = None) -> bool:
        """Move a file, and finish a move that a killed process began; returns whether it is at ``target`` now.

        It is not if it is gone, or no longer what ``state`` says.
        """

    def close(self) -> None:
        """Give up the connection."""
