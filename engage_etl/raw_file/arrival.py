"""Enter what arrived into the register: a file is one import, an archive one for each file in it (R26)."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from engage_etl.errors import FileError
from engage_etl.raw_file.unpacking import archive_entries, is_zip
from engage_etl.settings import Settings
from engage_etl.sources.local import LocalFiles
from engage_etl.sources.storage import FileState, Storage
from engage_etl.store.imports import CLAIMED, new_import_id, register_import
from engage_etl.vocabulary.locations import Location
from engage_etl.vocabulary.options import ImportOptions

_GLANCE = 64 * 1024
"""Bytes of a file elsewhere that are read at a time to see what is in it."""


def register_arrival(
    connection: Connection,
    settings: Settings,
    source: Location,
    options: ImportOptions,
    *,
    automation: str | None = None,
    modified_at: datetime | None = None,
    storage: Storage[Any] | None = None,
    state: FileState | None = None,
) -> list[str]:
    """Register an arrival; returns the ids of its imports, in the order of the archive.

    automation: into whose drop folder it was dropped; its imports share one claimed file then. What is wrong with an
    archive is the error of the one import that it is then.

    storage: where the file lies, local if not stated; state: what a file elsewhere is, which is claimed once.

    Raises:
        OSError: the file cannot be read.
        SourceUnavailable: its source does not answer.
    """
    entries = _entries(source, storage or LocalFiles(), state, settings)
    ids = [new_import_id(entry or source.name, automation) for entry in entries]
    claimed = source.parent / CLAIMED / ids[0] / source.name if automation is not None else None
    for import_id, entry in zip(ids, entries, strict=True):
        register_import(
            connection,
            source,
            options,
            automation=automation,
            claimed_path=claimed,
            modified_at=modified_at,
            import_id=import_id,
            entry=entry,
            source_state=str(state) if state is not None and not isinstance(source, Path) else None,
        )
    return ids


def _entries(source: Location, storage: Storage[Any], state: FileState | None, settings: Settings) -> list[str | None]:
    with storage.open(source, _GLANCE, state) as reading:
        if not is_zip(reading):
            return [None]
        try:
            return list(archive_entries(reading, source.name, settings))
        except FileError:
            return [None]
