"""Small tables for the web page and the log; personal data in them is masked unless a setting shows it (R41)."""

from __future__ import annotations

import csv
import json
import re
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from sqlalchemy import Connection, select

from engage_etl.reports.changes_file import as_text, field_order
from engage_etl.store.imports import Import
from engage_etl.store.tables import plan_row
from engage_etl.validated_rows.stage_files import rejected_file, valid_file
from engage_etl.vocabulary.attributes import ATTRIBUTES, BY_FIELD, CUSTOM, MEMBER, is_free
from engage_etl.vocabulary.file_format import FileFormat
from engage_etl.vocabulary.masking import mask
from engage_etl.vocabulary.options import FileType

_LONGEST_PREVIEW = 64 * 1024  # characters: a file may be one long line
_XML_PART = re.compile(r"(?P<hidden><!--.*?-->|<!\[CDATA\[.*?\]\]>)|(?P<tag><[^>]*>)|(?P<text>[^<]+)", re.DOTALL)
_XML_ATTRIBUTE = re.compile(r"""(?P<name>\s[\w:.-]+\s*=\s*)(?P<quote>["'])(?P<value>.*?)(?P=quote)""", re.DOTALL)
_SHOWN_XML_ATTRIBUTES = re.compile(r"\s*(name|type|enum|version|encoding|xmlns(:[\w.-]+)?)\s*=\s*")
_KNOWN_HEADER = re.compile(r"\s*(user|member|import)[.\[]", re.IGNORECASE)


def valid_sample(folder: Path, rows: int, show: bool) -> list[dict[str, str]]:
    """The first valid rows of an import; the columns are those that some of these rows fill.

    folder: of the import's stage files; show: personal data in clear.
    """
    found = _first_rows(valid_file(folder), rows)
    records = [_valid_record(row, show) for row in found]
    columns = dict.fromkeys(name for record in records for name in record)
    ordered = sorted(columns, key=lambda name: (name != "row", field_order(name)))
    return [{name: record.get(name, "") for name in ordered} for record in records]


def rejected_sample(folder: Path, rows: int) -> list[dict[str, str]]:
    """The first rows that validation rejected: row, reason, message (masked when it was written)."""
    found = _first_rows(rejected_file(folder), rows)
    return [{name: as_text(row[name]) for name in ("row", "reason", "message")} for row in found]


def plan_sample(connection: Connection, import_id: str, rows: int, show: bool) -> list[dict[str, str]]:
    """The first rows of a plan: row, outcome, reason, contact, and each changed field's value before and after."""
    columns = plan_row.c
    query = (
        select(columns.row, columns.outcome, columns.reason, columns.contact_id, columns.changes)
        .where(columns.import_id == import_id)
        .order_by(columns.row)
        .limit(rows)
    )
    return [
        {
            "row": str(found.row),
            "outcome": found.outcome,
            "reason": found.reason or "",
            "contact_id": as_text(found.contact_id),
            "changes": described_changes(found.changes or {}, show),
        }
        for found in connection.execute(query)
    ]


def described_changes(changes: dict[str, list[Any]], show: bool) -> str:
    """Changes of a row on one line: ``email: o…@….com → n…@….com; zip_code: → 0…7``."""
    return "; ".join(
        f"{field}: {shown(field, changes[field][0], show)} → {shown(field, changes[field][1], show)}".replace(
            ":  →", ": →"
        )
        for field in sorted(changes, key=field_order)
    )


def field_change_counts(entry: Import) -> dict[str, int]:
    """How many rows of the plan change each field, in the order of the catalogue."""
    return dict(sorted(entry.field_counts().items(), key=lambda count: field_order(count[0])))


def shown(field: str, value: object, show: bool) -> str:
    """A value as it may be shown: personal attributes and custom and member values are masked (R41)."""
    text = as_text(value)
    attribute = BY_FIELD.get(field)
    is_personal = attribute.personal if attribute else is_free(field)
    return mask(text) if is_personal and not show else text


def file_preview(path: Path, format: FileFormat, lines: int, show: bool) -> str:
    """The first lines of a file; unless ``show``, header and element names are shown and all values masked."""
    with path.open(encoding=format.character_set, errors="replace", newline="") as file:
        beginning = file.read(_LONGEST_PREVIEW).removeprefix("\ufeff")
    first = "".join(islice(iter(beginning.splitlines(keepends=True)), lines))
    if show:
        return first
    if format.file_type is FileType.XML:
        return _masked_xml(first)
    return _masked_csv(first, format.separator or ",")


def _first_rows(path: Path, rows: int) -> list[dict[str, Any]]:
    if rows < 1 or not path.exists():
        return []
    with pq.ParquetFile(path) as file:
        batch = next(file.iter_batches(rows), None)
    return batch.to_pylist() if batch is not None else []


def _valid_record(row: dict[str, Any], show: bool) -> dict[str, str]:
    values = {attribute.field: row[attribute.field] for attribute in ATTRIBUTES if row[attribute.field] is not None}
    for prefix, name in ((CUSTOM, "custom"), (MEMBER, "member")):
        values |= {prefix + key: value for key, value in json.loads(row[name] or "{}").items()}
    return {"row": str(row["row"])} | {field: shown(field, value, show) for field, value in values.items()}


def _masked_csv(text: str, separator: str) -> str:
    records = list(csv.reader(text.splitlines(keepends=True), delimiter=separator))
    header, others = records[:1], records[1:]
    shown_records = [[_shown_header(cell) for cell in cells] for cells in header]
    shown_records += [[mask(cell) for cell in cells] for cells in others]
    return "\n".join(separator.join(cells) for cells in shown_records)


def _shown_header(cell: str) -> str:
    """A cell of the first line: what is no header of ours may be a value of a file without header."""
    return cell if _KNOWN_HEADER.match(cell) else mask(cell)


def _masked_xml(text: str) -> str:
    """Tags as they are, texts and values of attributes masked; a tag that is cut off at the end is left out."""
    return "".join(_masked_part(part) for part in _XML_PART.finditer(text))


def _masked_part(part: re.Match[str]) -> str:
    if part["hidden"]:
        return "…"
    if part["tag"]:
        return _XML_ATTRIBUTE.sub(_masked_attribute, part["tag"])
    value = part["text"].strip()
    return part["text"].replace(value, mask(value)) if value else part["text"]


def _masked_attribute(attribute: re.Match[str]) -> str:
    if _SHOWN_XML_ATTRIBUTES.fullmatch(attribute["name"]):
        return attribute[0]
    return f"{attribute['name']}{attribute['quote']}{mask(attribute['value'])}{attribute['quote']}"
