"""Where a dropped file ends: in ``done/`` or ``failed/`` (R40).

One that was dropped on this machine ends in the data folder, with its report beside it; one that came from elsewhere ends
below its source.
"""

from __future__ import annotations

import errno
import filecmp
import os
import shutil
from contextlib import suppress
from pathlib import Path

from sqlalchemy import func, select

from engage_etl.own_files import sync_folder
from engage_etl.raw_file.handing_over import is_elsewhere, take_back
from engage_etl.sources.opening import Sources
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, find_import, imports_of_arrival, update_import
from engage_etl.vocabulary.locations import Location, RemoteLocation, read_location
from engage_etl.vocabulary.outcomes import Status

_FOLDERS = {
    Status.APPLIED: "done",
    Status.REVERTED: "done",
    Status.FAILED: "failed",
    Status.PLANNED: "done",  # a dry run that has ended
}
_REPORT = "report"
_PRIVATE_FOLDER = 0o700


def settle_file(
    store: Store, import_id: str, sources: Sources | None = None, *, by_sensor: bool = False
) -> Location | None:
    """Put the dropped file of an import that ended into ``done|failed/<automation>/<import id>/``.

    These lie in the data folder, or below the source of a file from elsewhere.

    The file of an import that waits for a person stays claimed. An archive waits until all of its imports have ended, and
    fails if one of them does; the id is that of the first.
    Can be repeated: a file that a killed process left half way is found again, one that a later run applies goes on
    from ``failed/`` to ``done/``. Nothing is ever overwritten.

    sources: those that are open already; by_sensor: whether this is the installation with the drop folders. Where stages
    may run elsewhere, only its sensor puts away what was dropped on a disk: the folders of a worker are others.

    Returns:
        Where the file is; None if the import has not ended, was started by hand, or its file is gone or left to the sensor.

    Raises:
        SourceUnavailable: the source does not answer; the file stays where it is.
    """
    if sources is None:
        with Sources(store.settings) as opened:
            return settle_file(store, import_id, opened, by_sensor=by_sensor)
    with store.engine.begin() as connection:
        entry = find_import(connection, import_id)
        if entry.claimed_path is None or (
            store.kept.is_shared and isinstance(entry.arrived_path, Path) and not by_sensor
        ):
            return None
        # Two imports of one archive may end in the same moment.
        key = func.hashtextextended(f"settle {entry.claimed_path}", 0)
        connection.execute(select(func.pg_advisory_xact_lock(key)))
        entries = imports_of_arrival(connection, find_import(connection, import_id))
        if not all(one.has_ended for one in entries):
            return None
        kinds = {_FOLDERS[one.status] for one in entries}
        kind = "failed" if "failed" in kinds else "done"
        claimed = entry.arrived_path
        top = store.settings.root if isinstance(claimed, Path) else claimed.parent.parent.parent
        folder = top / kind / (entry.automation or "manual") / _folder_name(entry)
        settled = _settle(entry, folder) if isinstance(folder, Path) else _settle_elsewhere(sources, entry, folder)
        if settled is not None or not is_elsewhere(store, entry):
            take_back(store, entry)
        if settled is None:
            return None
        for one in entries:
            # A report that is kept elsewhere is not here for long.
            if isinstance(folder, Path) and not store.kept.is_shared:
                _put_report_beside(store.report_dir(one.import_id), one, folder, is_alone=len(entries) == 1)
            if str(settled) != one.settled_path:
                update_import(connection, one.import_id, settled_path=str(settled))
    return settled


def _folder_name(entry: Import) -> str:
    """The id of the import; of an archive that of the first, after which its claimed file is named."""
    return entry.arrived_path.parent.name if entry.entry is not None else entry.import_id


def _settle(entry: Import, folder: Path) -> Path | None:
    """Move the file from where it is; None if it is nowhere."""
    target = folder / entry.arrived_name
    for source in (Path(path) for path in (entry.claimed_path, entry.settled_path) if path):
        if source.parent == folder and source.is_file():
            return source
        if source.is_file():
            folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
            target = _move(source, target)
            _remove_emptied(source.parent)
            return target
    return target if target.is_file() else None


def _settle_elsewhere(sources: Sources, entry: Import, folder: RemoteLocation) -> RemoteLocation | None:
    """Move the file at its source; what a killed process left half way is finished. None if it is nowhere."""
    target = folder / entry.arrived_name
    files = sources.at(target)
    places = [place for place in (entry.claimed_path, entry.settled_path) if place is not None and place != str(target)]
    moved = [files.move(read_location(place), target) for place in places]
    return target if any(moved) else None


def _move(source: Path, target: Path) -> Path:
    """Move a file without overwriting another; returns where it is now."""
    if target.exists() and filecmp.cmp(source, target, shallow=False):
        source.unlink()  # copied to another file system before, by a process that was killed then
        return target
    target = _free_name(target)
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy_across(source, target)
        source.unlink()
    return target


def _free_name(target: Path) -> Path:
    number, free = 1, target
    while os.path.lexists(free):
        number += 1
        free = target.with_name(f"{target.stem}.{number}{target.suffix}")
    return free


def _copy_across(source: Path, target: Path) -> None:
    """Copy to another file system, so that a half written copy never bears the name of the file."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        shutil.copy2(source, partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.rename(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def _remove_emptied(folder: Path) -> None:
    """Remove a folder that was made for one file and now holds nothing but the ways to reports, if that."""
    rest = list(folder.iterdir())
    if all(path.is_symlink() and path.name.startswith(_REPORT) for path in rest):
        for link in rest:
            link.unlink()
    with suppress(OSError):
        folder.rmdir()


def reports_beside(settled: Path, import_id: str, report: Path) -> list[Path]:
    """What lies beside a file that was put away as the report of an import: links to it, or copies of it.

    settled: the file in ``done/`` or ``failed/``; report: the report folder that links lead to.
    """
    own = f"{_REPORT}.{import_id}"
    names = (own, f"{own}-folder", _REPORT, f"{_REPORT}-folder")
    found = (settled.parent / name for name in names)
    return [path for path in found if path.is_dir() or (path.is_symlink() and path.readlink().name == report.name)]


def _put_report_beside(report: Path, entry: Import, folder: Path, *, is_alone: bool) -> None:
    """A relative link to the report folder, or a copy where the file system has no links."""
    name = _REPORT if is_alone else f"{_REPORT}.{entry.import_id}"
    beside = folder / (name if entry.arrived_name != name else f"{name}-folder")
    if not report.is_dir():
        return
    if beside.is_symlink():
        beside.unlink()
    elif beside.is_dir():
        shutil.rmtree(beside)
    try:
        beside.symlink_to(os.path.relpath(report, folder), target_is_directory=True)
    except OSError:
        shutil.copytree(report, beside)
