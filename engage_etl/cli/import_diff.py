"""``engage-etl imports diff``: two imports side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from engage_etl.reports.samples import field_change_counts
from engage_etl.store.imports import Import, find_file, find_import


def import_difference(connection: Connection, first: str, second: str) -> dict[str, Any]:
    """How two imports differ, ready for JSON.

    ``imports``: both ids; ``facts``, ``options``: name to [value of the first, of the second], only what differs;
    ``counts``, ``reasons``, ``changed_fields``: name to [rows of the first, of the second], all that either has.

    Raises:
        ImportUnknown: there is no such import.
    """
    entries = find_import(connection, first), find_import(connection, second)
    return {
        "imports": [entry.import_id for entry in entries],
        "facts": _differing(*(_facts(connection, entry) for entry in entries)),
        "options": _differing(*(entry.options for entry in entries)),
        "counts": _pairs(*({"rows": entry.rows} | entry.outcome_counts() for entry in entries)),
        "reasons": _pairs(*(entry.reasons for entry in entries)),
        "changed_fields": _pairs(*(field_change_counts(entry) for entry in entries)),
    }


def _facts(connection: Connection, entry: Import) -> dict[str, Any]:
    facts: dict[str, Any] = {"file": entry.file, "automation": entry.automation, "status": entry.status.value}
    record = find_file(connection, entry.import_id)
    if record is not None:
        facts |= {"bytes": record.bytes, "sha256": record.sha256, "file type": record.file_type}
        facts |= {"separator": record.separator, "character set": record.character_set}
    return facts


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, list[Any]]:
    names = dict.fromkeys([*first, *second])
    return {name: [first.get(name), second.get(name)] for name in names if first.get(name) != second.get(name)}


def _pairs(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, list[int]]:
    return {name: [first.get(name, 0), second.get(name, 0)] for name in dict.fromkeys([*first, *second])}
