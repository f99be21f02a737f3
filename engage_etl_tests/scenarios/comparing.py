"""Everything that an installation holds, in a form in which two that did the same are equal."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, select, text

from engage_etl.reports.page_file import PAGE
from engage_etl.settings import Settings
from engage_etl.store.engine import connect_engine
from engage_etl.store.tables import METADATA, contact, store_write

_NOT_COMPARED = {"change_id", "plan_snapshot"}
"""Numbers that a sequence or the server gives."""

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC")
_OWN_FOLDERS = {"dagster", "postgres", "log"}
_RELATIONS = text(
    "SELECT nspname, relname, relkind::text FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
    "WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1, 2"
)


STORE = ("contact", "membership", "contact_change")
"""What people have their imports for."""


def everything(settings: Settings) -> dict[str, Any]:
    """The rows of all tables, the names of all relations (temporary ones among them) and of all files, and the reports.

    Contacts are named by identifier or address instead of their id, which has gaps after an import that was killed; of
    times it says that there is one.
    """
    with _connected(settings) as connection:
        found: dict[str, Any] = {"relations": [tuple(row) for row in connection.execute(_RELATIONS)]}
        found |= _tables(connection, [table for table in METADATA.sorted_tables if table is not store_write])
    root, files = settings.root, sorted(settings.root.rglob("*"))
    files = [path for path in files if path.relative_to(root).parts[0] not in _OWN_FOLDERS]
    found["files"] = [path.relative_to(root).as_posix() for path in files]
    reports = [path for path in files if path.is_relative_to(root / "reports") and path.is_file()]
    return found | {path.relative_to(root).as_posix(): _report(path) for path in reports}


def contacts_of(settings: Settings) -> dict[str, Any]:
    """Contacts, memberships and history, as in ``everything``."""
    with _connected(settings) as connection:
        return _tables(connection, [table for table in METADATA.sorted_tables if table.name in STORE])


def temporary_relations(found: dict[str, Any]) -> list[Any]:
    """Temporary tables and what belongs to them."""
    return [relation for relation in found["relations"] if relation[0].startswith(("pg_temp", "pg_toast_temp"))]


def unfinished_files(found: dict[str, Any]) -> list[str]:
    """Files and folders that are written aside."""
    marks = (".part", ".partial", ".aside-", ".tmp")
    return [file for file in found["files"] if any(mark in file.rpartition("/")[2] for mark in marks)]


@contextmanager
def _connected(settings: Settings) -> Iterator[Connection]:
    engine = connect_engine(settings)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _tables(connection: Connection, tables: list[Table]) -> dict[str, Any]:
    names = {row.contact_id: row.identifier or row.email for row in connection.execute(select(contact))}
    return {table.name: _rows(connection, table, names) for table in tables}


def _rows(connection: Connection, table: Table, names: dict[int, str]) -> list[str]:
    compared = [column.name for column in table.columns if column.name not in _NOT_COMPARED]
    rows = [{name: row._mapping[name] for name in compared} for row in connection.execute(select(table))]
    for row in rows:
        if "contact_id" in row:
            row["contact_id"] = names.get(row["contact_id"])
    return sorted(repr({name: _timeless(value) for name, value in row.items()}) for row in rows)


def _timeless(value: Any) -> Any:
    return "some time" if isinstance(value, datetime) else value


def _report(path: Path) -> Any:
    if path.name == PAGE:
        return _MOMENT.sub("some time", path.read_text(encoding="utf-8"))
    if path.name != "changes.csv":
        return path.read_bytes()
    rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline=""))
    return [{name: cell for name, cell in row.items() if name != "contact_id"} for row in rows]
