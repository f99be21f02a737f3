"""Stage 2 as the other rooms see it: read the kept bytes, check every row, leave stage files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, func

from engage_etl.errors import UsageError
from engage_etl.raw_file.stage import kept_path
from engage_etl.store.custom_attributes import known_attributes
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, ImportFile, find_file, find_import, update_import, void_plan
from engage_etl.store.removals import Kind, demand_kept, take_back_removal
from engage_etl.validated_rows.reading import open_reader
from engage_etl.validated_rows.records import RecordReader
from engage_etl.validated_rows.stage_files import StageSummary
from engage_etl.validated_rows.validation import Validation, load_summary, validate
from engage_etl.vocabulary.outcomes import Status


def validate_rows(store: Store, import_id: str, on_progress: Callable[[int], None] | None = None) -> StageSummary:
    """Check every row of the kept file and write valid and rejected rows as stage files (R14-R18, R23-R25).

    on_progress: told how many rows are done. An import that is applied is frozen: what is recorded comes back.

    Raises:
        FileError: the file as a whole cannot be read.
        UsageError: the bytes of the import are not kept yet, or it is applied and its stage files are gone.
        Removed: what is needed was removed since (R42).
    """
    folder = store.settings.import_dir(import_id)
    with store.engine.connect() as connection:
        entry, record = find_import(connection, import_id), find_file(connection, import_id)
        if entry.status.is_final:
            return _recorded(connection, entry, folder)
        demand_kept(connection, import_id, Kind.RAW_FILE)
        known = known_attributes(connection)
    if record is None:
        raise UsageError(f"The bytes of import {import_id} are not kept yet; materialize raw_file first.")
    given = Validation(
        file=entry.file,
        options=entry.import_options,
        known=known,
        chunk_rows=store.settings.chunk_rows,
        beside=kept_path(store, entry, record).stat().st_size >= store.settings.second_process_from,
    )
    with _unfinished_files_removed(folder):
        summary = validate(open_kept_file(store, entry, record), given, folder, on_progress)
    with store.engine.begin() as connection:
        void_plan(connection, import_id)
        take_back_removal(connection, import_id, Kind.STAGE_FILES)
        update_import(
            connection,
            import_id,
            status=Status.VALIDATED,
            rows=summary.rows,
            rejected=summary.rejected,
            reasons=summary.reasons,
            warnings=list(summary.warnings),
            validated_at=func.clock_timestamp(),
        )
    return summary


def _recorded(connection: Connection, entry: Import, folder: Path) -> StageSummary:
    """What was found when a frozen import was validated; it is never validated again (R30)."""
    if (recorded := load_summary(folder)) is not None:
        return recorded
    demand_kept(connection, entry.import_id, Kind.STAGE_FILES)
    raise UsageError(
        f"Import {entry.import_id} is {entry.status.value}, and its checked rows are no longer in {folder}; "
        "its counts stand in `engage-etl imports show`. To import the file again, drop it again."
    )


@contextmanager
def _unfinished_files_removed(folder: Path) -> Iterator[None]:
    """Leave nothing of a validation that ends with an error: it may be that the disk is full."""
    try:
        yield
    except BaseException:
        for unfinished in folder.glob("*.part"):
            unfinished.unlink(missing_ok=True)
        raise


def open_kept_file(store: Store, entry: Import, record: ImportFile) -> RecordReader:
    """A reader of the kept bytes of an import."""
    return open_reader(
        kept_path(store, entry, record),
        name=entry.file,
        format=record.format,
        options=entry.import_options,
        max_cell_bytes=store.settings.max_cell_bytes,
    )
