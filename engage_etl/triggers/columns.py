"""The columns of an import as the web UI shows them: which there are, and from the header of the file to the contact.

All are those of the actual file: one without a column for e-mail addresses has no line to ``email``. Dagster keeps the
lineage as such, for its API; its open-source web UI draws no graph of columns, so that the same stands in the descriptions
of columns, and as a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from engage_etl.vocabulary.attributes import BY_FIELD, CUSTOM, IDENTIFIER, MEMBER, is_free

_SCHEMA = "dagster/column_schema"
_LINEAGE = "dagster/column_lineage"
_TABLE = "dagster/table_name"

RAW_FILE, VALIDATED_ROWS, MATCH_PLAN = (dg.AssetKey(name) for name in ("raw_file", "validated_rows", "match_plan"))
_CONTACT_ID = "contact_id"
_PLAN_COLUMNS = {
    "row": "row of the file",
    "outcome": "what becomes of the row: created, updated, unchanged, skipped or rejected",
    "reason": "why it is skipped or rejected",
}


def file_columns(columns: Mapping[str, str]) -> dict[str, Any]:
    """Metadata of ``raw_file``. columns: header cells or element names, with the field that each fills."""
    found = [dg.TableColumn(cell, "text", description=f"fills {field}") for cell, field in columns.items()]
    return {_SCHEMA: dg.TableSchema(found)} if found else {}


def checked_columns(columns: Mapping[str, str]) -> dict[str, Any]:
    """Metadata of ``validated_rows``: each field, from the header cells or elements that fill it."""
    cells = _cells(columns)
    found = [_column(field, f"from {', '.join(names)}") for field, names in cells.items()]
    return _metadata(found, {field: [(RAW_FILE, name) for name in names] for field, names in cells.items()})


def planned_columns(columns: Mapping[str, str], *, by_identifier: bool) -> dict[str, Any]:
    """Metadata of ``match_plan``: each field that it may change, and the contact, found by its key (R1, R3)."""
    fields = _cells(columns)
    keys = [field for field in fields if _is_key(field, by_identifier=by_identifier)]
    found = [dg.TableColumn(name, description=text) for name, text in _PLAN_COLUMNS.items()]
    found.append(dg.TableColumn(_CONTACT_ID, "number", description=f"the contact found by {', '.join(keys)}"))
    found += [_column(field, f"before and after, from {', '.join(names)}") for field, names in fields.items()]
    lineage = {_CONTACT_ID: [(VALIDATED_ROWS, key) for key in keys]}
    return _metadata(found, lineage | {field: [(VALIDATED_ROWS, field)] for field in fields})


def applied_columns(columns: Mapping[str, str]) -> dict[str, Any]:
    """Metadata of ``applied_updates``: the columns of contacts and memberships that the file can write."""
    fields = _cells(columns)
    found = [dg.TableColumn(_CONTACT_ID, "number", description="id of the contact in the store")]
    found += [_column(field, f"in {_place(field)}, from {', '.join(names)}") for field, names in fields.items()]
    lineage = {_CONTACT_ID: [(MATCH_PLAN, _CONTACT_ID)]} | {field: [(MATCH_PLAN, field)] for field in fields}
    return _metadata(found, lineage) | {_TABLE: "engage.contact"}


def columns_table(columns: Mapping[str, str], changed: Mapping[str, int]) -> list[dict[str, Any]]:
    """Rows of a table: each column of the file, the field that it fills, where that is stored, and how many rows change it.

    changed: rows by field.
    """
    return [
        {"file": cell, "checked_as": field, "stored_in": _place(field), "rows_that_change_it": changed.get(field, 0)}
        for cell, field in columns.items()
    ]


def _cells(columns: Mapping[str, str]) -> dict[str, list[str]]:
    """For each field the header cells or elements that fill it."""
    cells: dict[str, list[str]] = {}
    for cell, field in columns.items():
        cells.setdefault(field, []).append(cell)
    return cells


def _is_key(field: str, *, by_identifier: bool) -> bool:
    if by_identifier:
        return field == IDENTIFIER
    return field in BY_FIELD and BY_FIELD[field].is_address


def _column(field: str, description: str) -> dg.TableColumn:
    return dg.TableColumn(
        field, "free attribute" if is_free(field) else BY_FIELD[field].kind.value, description=description
    )


def _place(field: str) -> str:
    for prefix, place in ((CUSTOM, "engage.contact.custom"), (MEMBER, "engage.membership.attributes")):
        if field.startswith(prefix):
            return place
    return f"engage.contact.{field}"


def _metadata(found: list[dg.TableColumn], lineage: Mapping[str, Sequence[tuple[dg.AssetKey, str]]]) -> dict[str, Any]:
    deps = {
        column: [dg.TableColumnDep(asset_key=asset, column_name=name) for asset, name in sources]
        for column, sources in lineage.items()
    }
    return {_SCHEMA: dg.TableSchema(found), _LINEAGE: dg.TableColumnLineage(deps)}
