"""Valid rows as the stage file holds them: stored forms, match keys, comparison forms, typed custom values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa

from engage_etl.validated_rows.stage_files import VALID_SCHEMA
from engage_etl.vocabulary.attributes import (
    ADDRESSES,
    ATTRIBUTES,
    BY_FIELD,
    CUSTOM,
    IDENTIFIER,
    MEMBER,
    CustomType,
    Kind,
    custom_key,
    free_name,
)
from engage_etl.vocabulary.comparison import comparison_form
from engage_etl.vocabulary.custom_attribute import CustomAttribute

Column = list[str | None]

_KEYS = {"email": "email_key", "mobile_number": "mobile_key"}


def valid_table(
    rows: list[int],
    columns: Mapping[str, Column],
    key_fields: list[str | None],
    attributes: Mapping[str, CustomAttribute],
    warnings: Column,
) -> pa.Table:
    """The table of some valid rows, with the columns of ``VALID_SCHEMA``.

    columns: by field, ``custom.<name>`` or ``member.<name>``, one value a row; key_fields: address that each row is
    matched on, None where it is the identifier; attributes: custom and member attributes by column; warnings: one a row.
    """
    lacking: Column = [None] * len(rows)
    filled = {
        attribute.field: _stored(attribute.kind, columns.get(attribute.field, lacking)) for attribute in ATTRIBUTES
    }
    forms = {address.field: _comparison_forms(address.kind, filled[address.field]) for address in ADDRESSES}
    table: dict[str, list[Any]] = {"row": rows, **filled}
    table |= {name: forms[field] for field, name in _KEYS.items()}
    table["match_kind"] = [field or IDENTIFIER for field in key_fields]
    table["match_key"] = _match_keys(key_fields, filled[IDENTIFIER], forms)
    for name, prefix in (("custom", CUSTOM), ("member", MEMBER)):
        table[name] = _objects(columns, prefix, attributes, len(rows))
    table["warning"] = warnings
    return pa.table(
        {name: pa.array(table[name], type=VALID_SCHEMA.field(name).type) for name in VALID_SCHEMA.names}, VALID_SCHEMA
    )


def _stored(kind: Kind, values: Column) -> Column:
    """Country codes are stored in upper, language codes in lower case (R33); all else as given."""
    if kind is Kind.COUNTRY:
        return [value.upper() if value else value for value in values]
    if kind is Kind.LANGUAGE:
        return [value.lower() if value else value for value in values]
    return values


def _comparison_forms(kind: Kind, values: Column) -> Column:
    return [comparison_form(kind, value) if value else None for value in values]


def _match_keys(key_fields: list[str | None], identifiers: Column, forms: Mapping[str, Column]) -> Column:
    if not any(key_fields):
        return identifiers
    return [forms[field][position] if field else None for position, field in enumerate(key_fields)]


def match_key(kind: str, value: str) -> str:
    """What a row is matched on, in its comparison form. kind: the identifier's field or that of an address (R4, R13)."""
    return value if kind == IDENTIFIER else comparison_form(BY_FIELD[kind].kind, value)


def _objects(
    columns: Mapping[str, Column], prefix: str, attributes: Mapping[str, CustomAttribute], rows: int
) -> Column:
    """The custom or member values of each row as a JSON object by key; null where the row has none (R17)."""
    free = [name for name in columns if name.startswith(prefix)]
    if not free:
        return [None] * rows
    members = [list(_members(name, columns[name], attributes[name].type)) for name in free]
    joined = (",".join(filter(None, row)) for row in zip(*members, strict=True))
    return [f"{{{inner}}}" if inner else None for inner in joined]


def _members(column: str, values: Column, kind: CustomType) -> Iterator[str]:
    """For each value ``"key": value`` as JSON, empty where the row lacks it; each distinct value is encoded once."""
    key = json.dumps(custom_key(free_name(column)))
    encode = _ENCODE[kind]
    members = {
        value: f"{key}:{encode(value) if value else 'null'}" if value is not None else "" for value in set(values)
    }
    return map(members.__getitem__, values)


_ENCODE: dict[CustomType, Callable[[str], str]] = {
    CustomType.STRING: json.dumps,
    CustomType.DATE: json.dumps,
    # As a decimal, digit by digit: a float would change the value.
    CustomType.NUMBER: lambda value: format(Decimal(value), "f"),
    CustomType.BOOLEAN: lambda value: "true" if value.lower() in ("true", "1") else "false",
}
