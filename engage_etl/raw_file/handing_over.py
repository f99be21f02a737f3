"""A file that was dropped on this machine's disk, and whose import may run on another (decision 0023).

Whoever claims it puts a copy into the storage before it counts as claimed, and takes the copy away when the file itself
has been put away. Files at S3 and SFTP sources are read there by whoever imports them.
"""

from __future__ import annotations

from pathlib import Path

from engage_etl.stage_storage.kept_files import arrived_file
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import


def handed_over_file(store: Store, entry: Import) -> Path:
    """The copy of a dropped file, which the imports of an archive share."""
    folder = entry.import_id if entry.claimed_path is None else entry.arrived_path.parent.name
    return arrived_file(store.kept, folder, entry.arrived_name)


def hand_over(store: Store, entry: Import) -> None:
    """Put a copy of a dropped file into the storage, if other machines need it and it is not there yet.

    Raises:
        OSError: the file cannot be read.
        SourceUnavailable: the storage does not answer.
    """
    if not store.kept.is_shared or not isinstance(entry.arrived_path, Path):
        return
    copy = handed_over_file(store, entry)
    if store.kept.size_of(copy) != (1, entry.arrived_path.stat().st_size):
        store.kept.take_in(entry.arrived_path, copy)


def take_back(store: Store, entry: Import) -> None:
    """Take the copy away; the file has been put away, and all of its imports have ended.

    Raises:
        SourceUnavailable: the storage does not answer.
    """
    if store.kept.is_shared and isinstance(entry.arrived_path, Path):
        store.kept.remove(handed_over_file(store, entry).parent)


def is_elsewhere(store: Store, entry: Import) -> bool:
    """Whether a file was dropped into a folder of another machine: it can be put away, or removed, only there."""
    place = entry.arrived_path
    is_dropped = entry.claimed_path is not None and isinstance(place, Path)
    return store.kept.is_shared and is_dropped and not Path(entry.source_path).parent.is_dir()
