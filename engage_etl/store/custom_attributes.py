"""The custom attributes of contacts and the attributes of memberships that the store knows (R17)."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import Connection, select

from engage_etl.store.tables import custom_attribute
from engage_etl.vocabulary.custom_attribute import CustomAttribute


class Scope(StrEnum):
    """Whose attributes they are, as in the column ``scope``."""

    CUSTOM = "custom"
    MEMBER = "member"


def known_attributes(connection: Connection, scope: Scope = Scope.CUSTOM) -> dict[str, CustomAttribute]:
    """The attributes that the store has, by custom_key(name)."""
    columns = custom_attribute.c
    query = select(columns.name_key, columns.name, columns.type, columns.allowed_values).where(columns.scope == scope)
    return {
        key: CustomAttribute(name=name, type=type_, allowed_values=tuple(allowed) if allowed is not None else None)
        for key, name, type_, allowed in connection.execute(query).tuples()
    }
