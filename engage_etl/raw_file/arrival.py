"""Enter what arrived into the register: a file is one import, an archive one for each file in it (R26)."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from engage_etl.errors import FileError
from engage_etl.raw_file.unpacking import archive_entries, is_zip
from engage_etl.settings import Settings
from engage_etl.store.imports import CLAIMED, new_import_id, register_import, update_import
from engage_etl.vocabulary.options import ImportOptions


def register_arrival(
    connection: Connection,
    settings: Settings,
    source: Path,
    options: ImportOptions,
    *,
    automation: str | None = None,
    modified_at: datetime | None = None,
    amends: str | None = None,
) -> list[str]:
    """Register an arrival; returns the ids of its imports, in the order of the archive.

    automation: into whose drop folder it was dropped; its imports share one claimed file then; amends: the import some of
    whose rows it has, corrected. What is wrong with an archive is the error of the one import that it is then.

    Raises:
        OSError: the file cannot be read.
    """
    entries = _entries(source, settings)
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
        )
        if amends is not None:
            update_import(connection, import_id, amends=amends)
    return ids


def _entries(source: Path, settings: Settings) -> list[str | None]:
    if not is_zip(source):
        return [None]
    try:
        return list(archive_entries(source, source.name, settings))
    except FileError:
        return [None]
