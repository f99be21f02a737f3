"""The definitions of custom attributes (R17)."""

from __future__ import annotations

from sqlalchemy import Connection, select

from engage_etl.store.tables import custom_attribute
from engage_etl.vocabulary.custom_attribute import CustomAttribute


def known_attributes(connection: Connection) -> dict[str, CustomAttribute]:
    """The custom attributes that the store has, by custom_key(name)."""
    columns = custom_attribute.c
    query = select(columns.name_key, columns.name, columns.type, columns.allowed_values)
    return {
        key: CustomAttribute(name=name, type=type_, allowed_values=tuple(allowed) if allowed is not None else None)
        for key, name, type_, allowed in connection.execute(query).tuples()
    }
