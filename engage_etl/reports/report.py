"""The report folder of an import: what became of each row, in files that people can open (R39)."""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, null, select

from engage_etl.reports.private_files import private_text_file, replaced_folder
from engage_etl.reports.row_files import RowFormat, RowOutcome, write_row_files
from engage_etl.reports.summary import import_summary
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, ImportFile, find_file, find_import, update_import
from engage_etl.store.tables import plan_leaver, plan_row
from engage_etl.validated_rows.records import RecordReader
from engage_etl.validated_rows.stage import open_kept_file
from engage_etl.validated_rows.stage_files import read_batches, rejected_file
from engage_etl.vocabulary.attributes import ADDRESSES, ATTRIBUTES, GROUPS
from engage_etl.vocabulary.options import FileType
from engage_etl.vocabulary.outcomes import Outcome

CHANGES_HEADER = ("row", "contact_id", "field", "before", "after")
_BATCH = 2_000
_BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ADDRESS_HEADERS = tuple(attribute.header for attribute in ADDRESSES)


def write_report(store: Store, import_id: str) -> Path:
    """Write the report of an import in place of an earlier one, and record where it is; returns its folder.

    ``summary.json`` is always there. An import that ended before its rows were checked has no row files; one that has
    no plan has the rows that validation rejected and no changes. For a stopped import ``changes.csv`` says what would
    have changed.
    """
    with store.engine.connect() as connection:
        entry, record = find_import(connection, import_id), find_file(connection, import_id)
    folder = store.settings.report_dir(import_id)
    entry = replace(entry, report=folder.relative_to(store.settings.root).as_posix())
    with replaced_folder(folder) as aside:
        _write_summary(aside / "summary.json", entry)
        if record is not None and entry.validated_at is not None:
            write_row_files(aside, _reported_rows(store, entry, record), _row_format(store, record))
        if entry.planned_at is not None:
            _write_changes(store, aside / "changes.csv", import_id)
    with store.engine.begin() as connection:
        update_import(connection, import_id, report=entry.report)
    return folder


def _write_summary(path: Path, entry: Import) -> None:
    with private_text_file(path) as file:
        json.dump(import_summary(entry), file, ensure_ascii=False, indent=2)
        file.write("\n")


def _row_format(store: Store, record: ImportFile) -> RowFormat:
    """The source's own separator, encoding and byte-order mark; commas and UTF-8 where it was XML."""
    if record.format.file_type is FileType.XML:
        return RowFormat()
    with (store.settings.root / record.archived_path).open("rb") as file:
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
        file = rejected_file(self.store.settings.import_dir(self.entry.import_id))
        for batch in read_batches(file, _BATCH, ["row", "reason", "message"]):
            for found in batch.to_pylist():
                yield RowOutcome(found["row"], Outcome.REJECTED, found["reason"], found["message"])


def _write_changes(store: Store, path: Path, import_id: str) -> None:
    """One line per changed field, in row order; then members that leave the group, without a row (R20); UTF-8."""
    columns = plan_row.c
    query = (
        select(columns.row, columns.contact_id, columns.changes)
        .where(columns.import_id == import_id, columns.changes.is_not(None))
        .order_by(columns.row)
    )
    leavers = (
        select(null(), plan_leaver.c.contact_id, plan_leaver.c.changes)
        .where(plan_leaver.c.import_id == import_id)
        .order_by(plan_leaver.c.contact_id)
    )
    with store.engine.connect() as connection, private_text_file(path) as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(CHANGES_HEADER)
        for row, contact_id, changes in chain(stream(connection, query), stream(connection, leavers)):
            for field in sorted(changes, key=field_order):
                before, after = changes[field]
                writer.writerow((row, contact_id, field, as_text(before), as_text(after)))


def stream(connection: Connection, query: Select[Any]) -> Iterator[Any]:
    """The rows of a query from a cursor of the server, a batch at a time, so that memory stays flat."""
    yield from connection.execution_options(stream_results=True, max_row_buffer=_BATCH).execute(query)


def field_order(field: str) -> tuple[int, str]:
    """Where a field stands among the changes of a row: as in the catalogue, then custom and member attributes, then groups."""
    return (_POSITIONS.get(field, len(_POSITIONS)), field) if field != GROUPS else (len(_POSITIONS) + 1, field)


_POSITIONS = {attribute.field: place for place, attribute in enumerate(ATTRIBUTES)}


def as_text(value: object) -> str:
    """A value of a change as text: nothing for none, texts as they are, others as JSON spells them."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
