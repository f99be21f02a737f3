"""Stage 1 as the other rooms see it: keep the bytes of an arrival, and find out what kind of file it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engage_etl.raw_file.archive import ArchivedFile, archive_bytes
from engage_etl.raw_file.decryption import decrypt, is_encrypted, name_inside, remove_plain_text
from engage_etl.raw_file.detection import detect_format
from engage_etl.raw_file.handing_over import handed_over_file
from engage_etl.raw_file.unpacking import (
    BROKEN,
    archive_entries,
    is_gzip,
    is_zip,
    only_entry,
    unpack_entry,
    unpack_gzip,
)
from engage_etl.sources.opening import Sources
from engage_etl.store.engine import Store
from engage_etl.store.groups import require_group
from engage_etl.store.imports import Import, ImportFile, find_file, find_import, record_file, update_import, void_plan
from engage_etl.store.removals import Kind, demand_kept, take_back_removal
from engage_etl.vocabulary.locations import Location
from engage_etl.vocabulary.outcomes import Status

_PGP = "pgp"


def archive_raw_file(store: Store, import_id: str) -> ImportFile:
    """Keep the bytes of an arrival unchanged and detect format, separator and encoding (R22, R24, R27, R28).

    Bytes that are kept already are not copied again. An import that is applied is frozen: what is recorded comes back.

    Raises:
        FileError: the group does not exist, or the file is missing, empty, of no known type or cannot be decrypted.
        Removed: the bytes were removed since (R42).
        SourceUnavailable: where the file lies does not answer.
    """
    with store.engine.connect() as connection:
        entry, recorded = find_import(connection, import_id), find_file(connection, import_id)
        if entry.status.is_final and recorded is not None:
            return recorded
        if isinstance(entry.arrived_path, Path) and not entry.arrived_path.exists():
            demand_kept(connection, import_id, Kind.RAW_FILE)
        require_group(connection, entry.group_name, file=entry.file)
    record = _archive(store, entry, recorded)
    with store.engine.begin() as connection:
        record_file(connection, record)
        void_plan(connection, import_id)
        take_back_removal(connection, import_id, Kind.RAW_FILE)
        update_import(connection, import_id, status=Status.RECEIVED, validated_at=None, rows=0)
    return record


@dataclass(frozen=True)
class _Kept:
    """What is kept of an arrival. path: of what is read; sha256, bytes: of what arrived; compression: in words."""

    path: Path
    sha256: str
    bytes: int
    compression: str | None = None


def _archive(store: Store, entry: Import, recorded: ImportFile | None) -> ImportFile:
    kept = _keep(store, entry, recorded)
    found = detect_format(kept.path, entry.file, entry.import_options)
    compression = {"compression": kept.compression} if kept.compression else {}
    return ImportFile(
        import_id=entry.import_id,
        sha256=kept.sha256,
        bytes=kept.bytes,
        arrived_at=entry.received_at,
        archived_path=str(kept.path.relative_to(store.kept.root)),
        file_type=found.file_type.value,
        separator=found.separator,
        character_set=found.character_set,
        detection=found.detection | compression,
    )


def _keep(store: Store, entry: Import, recorded: ImportFile | None) -> _Kept:
    """Keep what arrived, and decrypt and unpack it if need be (R26, R28)."""
    with Sources(store.settings) as sources:
        return _keep_from(sources, store, entry, recorded)


def _keep_from(sources: Sources, store: Store, entry: Import, recorded: ImportFile | None) -> _Kept:
    folder, source = store.import_dir(entry.import_id), where_it_arrived(store, entry)
    if recorded is not None and not (isinstance(source, Path) and source.exists()):
        path = store.kept.fetched(store.kept.root / recorded.archived_path)
        compression = recorded.detection.get("compression")
        if compression is not None and path.exists():
            return _Kept(path, recorded.sha256, recorded.bytes, compression)
        source = store.kept.fetched(folder / "raw" / entry.arrived_name) if _is_plain_text(recorded) else path
    files = sources.at(source)
    if entry.entry is not None:
        with files.open(source) as reading:
            if len(archive_entries(reading, entry.arrived_name, store.settings)) > 1:
                # Of an archive of many files each import keeps its own; the archive itself ends in done/ or failed/ (R40).
                path = unpack_entry(reading, entry.entry, folder / "raw", name=entry.file, settings=store.settings)
                archived = archive_bytes(path, folder, path.name)
                store.kept.publish(path)
                return _Kept(path, archived.sha256, archived.bytes, f"unpacked from {entry.arrived_name}")
    archived = archive_bytes(source, folder, entry.arrived_name, files)
    store.kept.publish(archived.path)
    return _unpacked(store, entry, archived, folder)


def _unpacked(store: Store, entry: Import, archived: ArchivedFile, folder: Path) -> _Kept:
    settings, path, name = store.settings, archived.path, entry.file
    how: list[str] = []
    if is_encrypted(entry.arrived_name):
        path, name = decrypt(path, folder / "decrypted", name=name, settings=settings), name_inside(name)
        how.append(_PGP)
    packed = path
    if is_gzip(packed):
        path = unpack_gzip(packed, folder / "unpacked", name=name, settings=settings)
        how.append("gzip")
    elif is_zip(packed):
        # Registered without an entry where something is wrong with the archive, or encrypted: that is said here.
        inside = only_entry(packed, entry.arrived_name, settings)
        path = unpack_entry(packed, inside, folder / "unpacked", name=name, settings=settings)
        how.append("zip")
    if packed not in (path, archived.path):
        packed.unlink()
    if how and _PGP not in how:
        store.kept.publish(path)  # plain text of what is encrypted stays on the machine that reads it
    return _Kept(path, archived.sha256, archived.bytes, ", ".join(how) or None)


def where_it_arrived(store: Store, entry: Import) -> Location:
    """Where the bytes of an arrival are read from: its source, or the storage if that is the disk of another machine."""
    place = entry.arrived_path
    if not store.kept.is_shared or not isinstance(place, Path) or place.exists():
        return place
    handed_over = store.kept.fetched(handed_over_file(store, entry))
    return handed_over if handed_over.exists() else place


def kept_path(store: Store, entry: Import, record: ImportFile) -> Path:
    """Where the bytes are that an import reads; what was decrypted and removed since is decrypted again.

    Raises:
        FileError: it cannot be decrypted any more.
    """
    path = store.kept.fetched(store.kept.root / record.archived_path)
    if _is_plain_text(record) and not path.exists():
        return _keep(store, entry, record).path
    return path


def forget_plain_text(store: Store, import_id: str) -> None:
    """Remove the plain text of an encrypted file whose import has ended; the encrypted bytes stay."""
    with store.engine.connect() as connection:
        entry, record = find_import(connection, import_id), find_file(connection, import_id)
    if entry.has_ended and (is_encrypted(entry.arrived_name) or (record is not None and _is_plain_text(record))):
        remove_plain_text(store.import_dir(import_id))


def _is_plain_text(record: ImportFile) -> bool:
    return record.detection.get("compression", "").startswith(_PGP)


__all__ = ["BROKEN", "archive_raw_file", "forget_plain_text", "is_gzip", "is_zip", "kept_path"]
