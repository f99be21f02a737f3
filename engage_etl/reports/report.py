"""The report folder of an import: what became of each row, in files that people can open (R39)."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, select

from engage_etl.raw_file.stage import kept_path
from engage_etl.reports.changes_file import write_changes
from engage_etl.reports.page_file import PAGE
from engage_etl.reports.private_files import replaced_folder
from engage_etl.reports.report_page import write_page
from engage_etl.reports.revert_report import write_revert_report
from engage_etl.reports.row_files import RowFormat, RowOutcome, write_row_files
from engage_etl.reports.summary import write_summary
from engage_etl.store.approvals import find_approval
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, ImportFile, find_file, load_import, update_import
from engage_etl.store.removals import Kind, demand_kept, take_back_removal
from engage_etl.store.tables import plan_row
from engage_etl.validated_rows.records import RecordReader
from engage_etl.validated_rows.stage import open_kept_file
from engage_etl.validated_rows.stage_files import read_batches, rejected_file
from engage_etl.vocabulary.attributes import ADDRESSES
from engage_etl.vocabulary.options import FileType
from engage_etl.vocabulary.outcomes import Outcome

_BATCH = 2_000
_BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ADDRESS_HEADERS = tuple(attribute.header for attribute in ADDRESSES)


def write_report(store: Store, import_id: str) -> Path:
    """Write the report of an import in place of an earlier one, and record where it is; returns its folder.

    ``summary.json`` and ``report.html`` are always there. An import that ended before its rows were checked has no row
    files; one that has no plan has the rows that validation rejected and no changes. For an import that waits for a
    person, was rejected, or is a dry run, ``changes.csv`` says what would change. A revert has ``not_restored.csv`` in
    place of row files.

    Raises:
        Removed: what it is made from was removed since; an earlier report stays as it is (R42).
    """
    entry = load_import(store.engine, import_id)
    if entry.reverts is not None:
        return write_revert_report(store, entry)
    with report_around(store, import_id):
        pass
    return store.report_dir(import_id)


@contextmanager
def report_around(store: Store, import_id: str) -> Iterator[None]:
    """Write the report of an import around the block that applies its plan: the row files meanwhile, the rest after it.

    If the block fails, an earlier report stays as it is.
    """
    planned = load_import(store.engine, import_id)
    demand_sources(store, planned)
    folder = store.report_dir(import_id)
    with replaced_folder(folder) as aside, ThreadPoolExecutor(1) as thread:
        row_files = thread.submit(_write_row_files, store, planned, aside)
        yield
        row_files.result()
        entry = load_import(store.engine, import_id)
        if entry.plan_hash != planned.plan_hash:  # it was planned again on drift
            _write_row_files(store, entry, aside)
        if entry.planned_at is not None:
            write_changes(store, aside / "changes.csv", import_id)
        entry = replace(entry, report=folder.relative_to(store.kept.root).as_posix())
        _write_summary(store, aside / "summary.json", entry)
        write_page(store, aside / PAGE, entry)
    store.kept.publish(folder)
    with store.engine.begin() as connection:
        update_import(connection, import_id, report=entry.report)
        take_back_removal(connection, import_id, Kind.REPORT)


def demand_sources(store: Store, entry: Import) -> None:
    """See to it that a report can be made from what is still there.

    Raises:
        Removed: the raw file, or what became of its rows, was removed (R42).
    """
    if entry.validated_at is None:
        return
    outcomes = Kind.PLAN if entry.planned_at is not None else Kind.STAGE_FILES
    with store.engine.connect() as connection:
        demand_kept(connection, entry.import_id, Kind.RAW_FILE, outcomes)


def _write_row_files(store: Store, entry: Import, folder: Path) -> None:
    with store.engine.connect() as connection:
        record = find_file(connection, entry.import_id)
    if record is not None and entry.validated_at is not None:
        write_row_files(folder, _reported_rows(store, entry, record), _row_format(store, entry, record))


def _write_summary(store: Store, path: Path, entry: Import) -> None:
    with store.engine.connect() as connection:
        approval = find_approval(connection, entry.import_id)
    write_summary(path, entry, approval)


def _row_format(store: Store, entry: Import, record: ImportFile) -> RowFormat:
    """The source's own separator, encoding and byte-order mark; commas and UTF-8 where it was XML."""
    if record.format.file_type is FileType.XML:
        return RowFormat()
    with kept_path(store, entry, record).open("rb") as file:
        is_marked = record.character_set.startswith("utf") and file.read(4).startswith(_BYTE_ORDER_MARKS)
    return RowFormat(record.separator or ",", record.character_set, is_marked)


def _reported_rows(store: Store, entry: Import, record: ImportFile) -> _ReportedRows:
    reader = open_kept_file(store, entry, record)
    header = reader.original_header()
    order = list(range(len(header)))
    if record.format.file_type is FileType.XML:
        order.sort(key=lambda place: header[place] not in _ADDRESS_HEADERS)
    return _ReportedRows(store, entry, reader, [header[place] for place in order], order)


@dataclass(frozen=True)
class _ReportedRows:
    """The rows of one import, read anew from the kept bytes and from its plan each time they are asked for.

    order: places of the reader's cells in the report; of XML the addresses come first, as CSV is matched on its first
    column (R3), so that the report can be imported.
    """

    store: Store
    entry: Import
    reader: RecordReader
    cells: list[str]
    order: list[int]

    def header(self) -> list[str]:
        return self.cells

    def originals(self) -> Iterator[tuple[int, list[str]]]:
        if self.order == sorted(self.order):
            return self.reader.originals()
        return ((row, [cells[place] for place in self.order]) for row, cells in self.reader.originals())

    def outcomes(self) -> Iterator[RowOutcome]:
        if self.entry.planned_at is not None:
            return self._planned()
        return self._invalid()

    def _planned(self) -> Iterator[RowOutcome]:
        columns = plan_row.c
        query = (
            select(columns.row, columns.outcome, columns.reason, columns.message)
            .where(columns.import_id == self.entry.import_id)
            .where(columns.outcome.in_([Outcome.REJECTED.value, Outcome.SKIPPED.value]))
            .order_by(columns.row)
        )
        with self.store.engine.connect() as connection:
            for row, outcome, reason, message in stream(connection, query):
                yield RowOutcome(row, Outcome(outcome), reason or "", message or "")

    def _invalid(self) -> Iterator[RowOutcome]:
        """The rows that validation rejected, where no plan was made."""
        file = self.store.kept.fetched(rejected_file(self.store.import_dir(self.entry.import_id)))
        for batch in read_batches(file, _BATCH, ["row", "reason", "message"]):
            for found in batch.to_pylist():
                yield RowOutcome(found["row"], Outcome.REJECTED, found["reason"], found["message"])


def stream(connection: Connection, query: Select[Any]) -> Iterator[Any]:
    """The rows of a query from a cursor of the server, a batch at a time, so that memory stays flat."""
    yield from connection.execution_options(stream_results=True, max_row_buffer=_BATCH).execute(query)
