"""Stage 1 as the other rooms see it: keep the bytes of an arrival, and find out what kind of file it is."""

from __future__ import annotations

from pathlib import Path

from engage_etl.raw_file.archive import archive_bytes
from engage_etl.raw_file.detection import detect_format
from engage_etl.store.engine import Store
from engage_etl.store.groups import require_group
from engage_etl.store.imports import Import, ImportFile, find_file, find_import, record_file, update_import, void_plan
from engage_etl.vocabulary.outcomes import Status


def archive_raw_file(store: Store, import_id: str) -> ImportFile:
    """Keep the bytes of an arrival unchanged and detect format, separator and encoding (R22, R24, R27, R28).

    Bytes that are kept already are not copied again. An import that is applied is frozen: what is recorded comes back.

    Raises:
        FileError: the group does not exist, or the file is missing, empty or of no known type.
    """
    with store.engine.connect() as connection:
        entry, recorded = find_import(connection, import_id), find_file(connection, import_id)
        if entry.status.is_final and recorded is not None:
            return recorded
        require_group(connection, entry.group_name, file=entry.file)
    record = _archive(store, entry, recorded)
    with store.engine.begin() as connection:
        record_file(connection, record)
        void_plan(connection, import_id)
        update_import(connection, import_id, status=Status.RECEIVED, validated_at=None, rows=0)
    return record


def _archive(store: Store, entry: Import, recorded: ImportFile | None) -> ImportFile:
    folder = store.settings.import_dir(entry.import_id)
    source = entry.arrived_path
    if recorded is not None and not source.exists():
        source = store.settings.root / recorded.archived_path
    archived = archive_bytes(source, folder, entry.file)
    found = detect_format(archived.path, entry.file, entry.import_options)
    return ImportFile(
        import_id=entry.import_id,
        sha256=archived.sha256,
        bytes=archived.bytes,
        arrived_at=entry.received_at,
        archived_path=str(Path(archived.path).relative_to(store.settings.root)),
        file_type=found.file_type.value,
        separator=found.separator,
        character_set=found.character_set,
        detection=found.detection,
    )
