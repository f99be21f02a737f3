"""The rows of a file as peers write them: the store's columns, and custom values by key."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from benchmarks.profiles import CUSTOM_NAMES, FIELDS
from engage_etl.vocabulary.attributes import BY_FIELD, custom_header, custom_key

HEADERS = {
    (BY_FIELD[field].header if field in BY_FIELD else custom_header(CUSTOM_NAMES[field])): field for field in FIELDS
}
"""Fields by the header of their column."""


def stored_columns(row: dict[str, str]) -> dict[str, object]:
    """What a row, by header, puts into the columns of the table of contacts."""
    values: dict[str, object] = {field: row[header] or None for header, field in HEADERS.items()}
    values["custom"] = {custom_key(name): values.pop(field) for field, name in CUSTOM_NAMES.items()}
    values["email_key"] = row["user.Email"].lower() or None
    values["mobile_key"] = values["mobile_number"]
    values["title"] = int(row["user.Title"])
    return values


def has_address(values: dict[str, object]) -> bool:
    """Whether a row could make a contact (R7)."""
    return values["email"] is not None or values["mobile_number"] is not None


def read_rows(file: Path) -> Iterator[dict[str, object]]:
    """The rows of a CSV file."""
    with file.open(encoding="utf-8", newline="") as reading:
        for row in csv.DictReader(reading):
            yield stored_columns(row)
