"""The one way in which stages hand files over: bytes as they arrived, checked rows, reports (decision 0023).

Whoever needs a file asks for it by the path that it has on this machine; where that is a folder of an installation on one
machine, nothing is copied and nothing changes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from engage_etl.settings import Settings

IMPORTS, REPORTS, ARRIVALS = "imports", "reports", "arrivals"
"""Folders of the storage. Arrivals: files dropped on one machine's disk, until they have been read on another."""


class KeptFiles(Protocol):
    """The kept files of an installation. Methods that ask a bucket raise SourceUnavailable if it does not answer.

    is_shared: whether stages may run on machines that do not have each other's disks; root: the folder on this machine
    that the paths of kept files begin with.
    """

    @property
    def is_shared(self) -> bool: ...  # noqa: D102 - as said above

    @property
    def root(self) -> Path: ...  # noqa: D102 - as said above

    def shown(self, path: Path) -> str:
        """Where people find a kept file or folder: a path or an address."""

    def fetched(self, path: Path) -> Path:
        """See to it that a file or folder is on this machine as it is kept; what is not kept stays as it is here."""

    def publish(self, *paths: Path) -> None:
        """Hand over files or folders as they are on this machine, each file all of it or nothing.

        Of several the last one stands for all: it is missing while the others are written.
        """

    def take_in(self, file: Path, path: Path) -> None:
        """Keep a copy of a file of this machine, as ``path``."""

    def size_of(self, path: Path) -> tuple[int, int]:
        """How many files a file or folder holds as it is kept, and their bytes; nothing is fetched."""

    def remove(self, path: Path) -> None:
        """Take a file or folder away, here and where it is kept."""

    def release(self, import_id: str) -> None:
        """Take away what was copied to this machine of an import; what is kept stays."""

    def close(self) -> None:
        """Take away everything that was copied to this machine."""


def import_dir(kept: KeptFiles, import_id: str) -> Path:
    """Where this machine finds the bytes and the stage files of an import."""
    return kept.root / IMPORTS / import_id


def report_dir(kept: KeptFiles, import_id: str) -> Path:
    """Where this machine finds the report of an import (R39)."""
    return kept.root / REPORTS / import_id


def arrived_file(kept: KeptFiles, folder_name: str, name: str) -> Path:
    """Where a file waits that was dropped on one machine's disk. folder_name: the id of the first of its imports."""
    return kept.root / ARRIVALS / folder_name / name


def open_kept_files(settings: Settings) -> KeptFiles:
    """The kept files of an installation; nothing is asked for yet."""
    from engage_etl.stage_storage.here import FilesHere
    from engage_etl.stage_storage.working_copies import WorkingCopies

    place = settings.storage_location
    if isinstance(place, Path):
        return FilesHere(place, is_shared=settings.storage_url is not None)
    return WorkingCopies(settings, place)
