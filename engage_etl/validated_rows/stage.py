"""Stage 2 as the other rooms see it: read the kept bytes, check every row, leave stage files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, func

from engage_etl.cores import cores_at_hand
from engage_etl.errors import FileError, UsageError
from engage_etl.raw_file.stage import kept_path
from engage_etl.store.custom_attributes import known_attributes
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, ImportFile, find_file, find_import, update_import, void_plan
from engage_etl.store.removals import Kind, demand_kept, take_back_removal
from engage_etl.validated_rows.range_files import check_part, divide, join_parts
from engage_etl.validated_rows.ranges import ReadableFile
from engage_etl.validated_rows.records import RecordReader
from engage_etl.validated_rows.stage_files import StageSummary, rejected_file, summary_file, valid_file
from engage_etl.validated_rows.validation import Validation, load_summary, remove_unfinished, validate
from engage_etl.vocabulary.custom_attribute import CustomAttribute
from engage_etl.vocabulary.outcomes import Status

_BEGINNING = 100
"""Rows within which most of the columns of a file have been met."""


def validate_rows(store: Store, import_id: str, on_progress: Callable[[int], None] | None = None) -> StageSummary:
    """Check every row of the kept file and write valid and rejected rows as stage files (R14-R18, R23-R25).

    on_progress: told how many rows are done. An import that is applied is frozen: what is recorded comes back.

    Raises:
        FileError: the file as a whole cannot be read.
        UsageError: the bytes of the import are not kept yet, or it is applied and its stage files are gone.
        Removed: what is needed was removed since (R42).
    """
    given = _given(store, import_id)
    if isinstance(given, StageSummary):
        return given
    processes = cores_at_hand() if given.is_large else 0
    with _unfinished_files_removed(given.folder):
        summary = validate(given.source, given.validation(store, processes), given.folder, on_progress)
    return _recorded_now(store, import_id, summary)


def divide_rows(store: Store, import_id: str) -> int:
    """Divide a large file into ranges, for ``check_range`` and ``join_ranges``; returns how many.

    A file that is not large, or cannot be divided, is checked as by ``validate_rows``; so is one of a frozen import. Its
    ranges are none.

    Raises:
        EngageError: as ``validate_rows``.
    """
    given = _given(store, import_id)
    if isinstance(given, StageSummary) or not _is_divided(store, given):
        validate_rows(store, import_id)
        return 0
    with _unfinished_files_removed(given.folder):
        return divide(given.source, given.validation(store), given.folder, store.settings.range_bytes)


def check_range(store: Store, import_id: str, number: int) -> int:
    """Check a range, counted from 0; others may be checked at the same time. Returns the number of its records.

    What is wrong with the file as a whole is noted, for ``join_ranges`` to tell.

    Raises:
        UsageError: the file is not divided, or otherwise than it was.
        Removed: what is needed was removed since (R42).
    """
    given = _given(store, import_id)
    return 0 if isinstance(given, StageSummary) else check_part(given.source, given.folder, number)


def join_ranges(store: Store, import_id: str, on_progress: Callable[[int], None] | None = None) -> StageSummary:
    """Join the ranges to the stage files that ``validate_rows`` would have written; nothing else of them is left.

    Where there are none, as the file was checked as a whole or they are joined already, what was found comes back.

    Raises:
        EngageError: as ``validate_rows``.
        UsageError: a range is not checked.
    """
    given = _given(store, import_id)
    if isinstance(given, StageSummary):
        return given
    if given.entry.validated_at is not None and (found := load_summary(given.folder)) is not None:
        remove_unfinished(given.folder)
        return found
    with _unfinished_files_removed(given.folder):
        summary = join_parts(given.source, given.folder, on_progress)
    summary = _recorded_now(store, import_id, summary)
    remove_unfinished(given.folder)
    return summary


def forget_ranges(store: Store, import_id: str) -> None:
    """Remove what is left of ranges that were never joined; the import has ended."""
    remove_unfinished(store.import_dir(import_id))


def _is_divided(store: Store, given: _Given) -> bool:
    """Whether a file is checked in ranges: their parts lie in a folder that all steps see, and in no bucket."""
    return given.is_large and given.source.is_divisible and not store.kept.is_shared


@dataclass(frozen=True)
class _Given:
    """What is validated. known: custom attributes of the store, by custom_key(name); folder: of the import."""

    entry: Import
    source: ReadableFile
    known: Mapping[str, CustomAttribute]
    is_large: bool
    folder: Path

    def validation(self, store: Store, processes: int = 0) -> Validation:
        """What it is checked with."""
        options, rows = self.entry.import_options, store.settings.chunk_rows
        return Validation(self.entry.file, options, self.known, rows, processes)


def _given(store: Store, import_id: str) -> _Given | StageSummary:
    """What is to be validated, or what was found when a frozen import was."""
    folder = store.import_dir(import_id)
    with store.engine.connect() as connection:
        entry, record = find_import(connection, import_id), find_file(connection, import_id)
        if entry.status.is_final:
            return _recorded(store, connection, entry)
        demand_kept(connection, import_id, Kind.RAW_FILE)
        known = known_attributes(connection)
    if record is None:
        raise UsageError(f"The bytes of import {import_id} are not kept yet; materialize raw_file first.")
    source = _kept_file(store, entry, record)
    return _Given(entry, source, known, source.path.stat().st_size >= store.settings.ranges_from, folder)


def _recorded_now(store: Store, import_id: str, summary: StageSummary) -> StageSummary:
    """Hand the stage files over, and enter what was found into the register."""
    folder = store.import_dir(import_id)
    store.kept.publish(valid_file(folder), rejected_file(folder), summary_file(folder))
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


def recorded_summary(store: Store, import_id: str) -> StageSummary | None:
    """What the validation of an import found, wherever that is kept; None where it is not complete, or not kept any more."""
    folder = store.import_dir(import_id)
    store.kept.fetched(summary_file(folder))
    return load_summary(folder)


def _recorded(store: Store, connection: Connection, entry: Import) -> StageSummary:
    """What was found when a frozen import was validated; it is never validated again (R30)."""
    folder = store.import_dir(entry.import_id)
    for file in (valid_file(folder), rejected_file(folder)):
        store.kept.fetched(file)
    if (recorded := recorded_summary(store, entry.import_id)) is not None:
        return recorded
    demand_kept(connection, entry.import_id, Kind.STAGE_FILES)
    raise UsageError(
        f"Import {entry.import_id} is {entry.status.value}, and its checked rows are no longer in {store.kept.shown(folder)}; "
        "its counts stand in `engage-etl imports show`. To import the file again, drop it again."
    )


@contextmanager
def _unfinished_files_removed(folder: Path) -> Iterator[None]:
    """Leave nothing of a validation that ends with an error: it may be that the disk is full."""
    try:
        yield
    except BaseException:
        remove_unfinished(folder)
        raise


def open_kept_file(store: Store, entry: Import, record: ImportFile) -> RecordReader:
    """A reader of the kept bytes of an import."""
    return _kept_file(store, entry, record).reader()


def _kept_file(store: Store, entry: Import, record: ImportFile) -> ReadableFile:
    return ReadableFile(
        kept_path(store, entry, record), entry.file, record.format, entry.import_options, store.settings.max_cell_bytes
    )


def columns_at_the_beginning(store: Store, entry: Import, record: ImportFile) -> dict[str, str]:
    """Header cells (CSV), or elements that the first users have (XML), each with the field that it fills.

    Empty where the file cannot be read that far: what is wrong with it says the stage that checks every row.
    """
    reader = open_kept_file(store, entry, record)
    try:
        next(reader.chunks(_BEGINNING), None)
        return reader.columns
    except FileError:
        return {}
