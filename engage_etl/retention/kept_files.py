"""The files of an import by what they are, how much they take, and how they are taken away."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engage_etl.raw_file.settling import reports_beside
from engage_etl.stage_storage.here import FilesHere
from engage_etl.stage_storage.kept_files import KeptFiles
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import
from engage_etl.store.removals import Kind
from engage_etl.validated_rows.stage_files import rejected_file, summary_file, valid_file
from engage_etl.vocabulary.locations import is_remote

_PART = ".part"


@dataclass(frozen=True)
class Size:
    """How much there is. files: how many; bytes: in them; rows: of a plan, or runs."""

    files: int = 0
    bytes: int = 0
    rows: int = 0


def paths_of(store: Store, entry: Import, kind: Kind) -> list[Path]:
    """The files and folders that hold one kind of what is kept of an import; those that are there.

    What is in a bucket has the path that a copy of it has on this machine.
    """
    folder = store.import_dir(entry.import_id)
    settled = _here(entry.settled_path)
    if kind is Kind.RAW_FILE:
        found = [folder / "raw", folder / "unpacked"]
    elif kind is Kind.STAGE_FILES:
        found = [valid_file(folder), rejected_file(folder), summary_file(folder), *folder.glob(f"*{_PART}")]
    elif kind is Kind.REPORT:
        report = store.report_dir(entry.import_id)
        found = [report, *(reports_beside(settled, entry.import_id, report) if settled else [])]
    elif kind is Kind.SETTLED_FILE and settled is not None:
        found = [settled]
    else:
        found = []
    return [path for path in found if os.path.lexists(path) or (_is_kept(store, path) and store.kept.size_of(path)[0])]


def _is_kept(store: Store, path: Path) -> bool:
    return store.kept.is_shared and path.is_relative_to(store.kept.root)


def _here(path: str | None) -> Path | None:
    """A path on this machine; files at sources elsewhere are those of their owners."""
    return None if path is None or is_remote(path) else Path(path)


def size_of(store: Store, paths: Iterable[Path]) -> Size:
    """How much the files take, those in folders too; a link takes nothing."""
    sizes = [_holder(store, path).size_of(path) for path in paths]
    return Size(sum(files for files, _ in sizes), sum(size for _, size in sizes))


def remove(store: Store, entry: Import, paths: Iterable[Path]) -> None:
    """Take files and folders of an import away, and then its own folders, if nothing else is in them."""
    for path in paths:
        _holder(store, path).remove(path)
    folders = [store.import_dir(entry.import_id)]
    places = (_here(entry.settled_path), _here(entry.claimed_path))
    folders += [place.parent for place in places if place is not None]
    for folder in folders:
        with suppress(OSError):  # something is in it, or it is gone
            folder.rmdir()


def _holder(store: Store, path: Path) -> KeptFiles:
    """Who has a file: the storage, or, if it was put away on this machine, a folder here."""
    return store.kept if _is_kept(store, path) else FilesHere(store.settings.root)
