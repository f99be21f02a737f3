"""The files of an import by what they are, how much they take, and how they are taken away."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engage_etl.raw_file.settling import reports_beside
from engage_etl.settings import Settings
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


def paths_of(settings: Settings, entry: Import, kind: Kind) -> list[Path]:
    """The files and folders that hold one kind of what is kept of an import; those that are there."""
    folder = settings.import_dir(entry.import_id)
    settled = _here(entry.settled_path)
    if kind is Kind.RAW_FILE:
        found = [folder / "raw", folder / "unpacked"]
    elif kind is Kind.STAGE_FILES:
        found = [valid_file(folder), rejected_file(folder), summary_file(folder), *folder.glob(f"*{_PART}")]
    elif kind is Kind.REPORT:
        report = settings.report_dir(entry.import_id)
        found = [report, *(reports_beside(settled, entry.import_id, report) if settled else [])]
    elif kind is Kind.SETTLED_FILE and settled is not None:
        found = [settled]
    else:
        found = []
    return [path for path in found if os.path.lexists(path)]


def _here(path: str | None) -> Path | None:
    """A path on this machine; files at sources elsewhere are those of their owners."""
    return None if path is None or is_remote(path) else Path(path)


def size_of(paths: Iterable[Path]) -> Size:
    """How much the files take, those in folders too; a link takes nothing."""
    sizes = [file.stat().st_size for file in _files(paths)]
    return Size(len(sizes), sum(sizes))


def remove(settings: Settings, entry: Import, paths: Iterable[Path]) -> None:
    """Take files and folders of an import away, and then its own folders, if nothing else is in them."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    folders = [settings.import_dir(entry.import_id)]
    places = (_here(entry.settled_path), _here(entry.claimed_path))
    folders += [place.parent for place in places if place is not None]
    for folder in folders:
        with suppress(OSError):  # something is in it, or it is gone
            folder.rmdir()


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_symlink():
            continue
        if path.is_dir():
            yield from (file for file in path.rglob("*") if file.is_file() and not file.is_symlink())
        elif path.is_file():
            yield path
