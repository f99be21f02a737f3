"""The report folder of a revert: what was taken back, and what was not and why (R36, R39)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sqlalchemy import Text, cast, select
from sqlalchemy.dialects.postgresql import ARRAY, array

from engage_etl.reports.changes_file import CHANGES_HEADER, change_lines, write_lines
from engage_etl.reports.private_files import replaced_folder
from engage_etl.reports.summary import write_summary
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, update_import
from engage_etl.store.tables import contact_change, revert_detail

DETAILS_HEADER = ("row", "contact_id", "field", "result", "before", "given", "now", "message")


def write_revert_report(store: Store, entry: Import) -> Path:
    """Write the report of a revert in place of an earlier one, and record where it is; returns its folder.

    ``changes.csv`` has what was restored, ``not_restored.csv`` what was kept or failed: the value that was to be restored,
    the one that the import had given, and the one found, all clear (R41). Rows are those of the import that is undone.
    """
    folder = store.report_dir(entry.import_id)
    entry = replace(entry, report=folder.relative_to(store.kept.root).as_posix())
    with replaced_folder(folder) as aside:
        _write_changes(store, aside / "changes.csv", entry.import_id)
        _write_details(store, aside / "not_restored.csv", entry.import_id)
        write_summary(aside / "summary.json", entry)
    store.kept.publish(folder)
    with store.engine.begin() as connection:
        update_import(connection, entry.import_id, report=entry.report)
    return folder


def _write_changes(store: Store, path: Path, import_id: str) -> None:
    columns = contact_change.c
    lines = change_lines(columns.row, columns.contact_id, columns.changes).where(columns.import_id == import_id)
    write_lines(store, path, CHANGES_HEADER, [lines.order_by(columns.row.nulls_last(), columns.contact_id)])


def _write_details(store: Store, path: Path, import_id: str) -> None:
    columns = revert_detail.c
    whole = cast(array([]), ARRAY(Text))
    values = {name: columns[name].op("#>>")(whole) for name in ("before", "given", "now")}
    lines = select(*(values.get(name, columns[name]) for name in DETAILS_HEADER)).where(columns.import_id == import_id)
    order = (columns.row.nulls_last(), columns.contact_id, columns.field)
    write_lines(store, path, DETAILS_HEADER, [lines.order_by(*order)])
