"""Values in the history of an import, as SQL expressions: taken out of ``changes``, and compared (R33, R37)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    DateTime,
    FromClause,
    Text,
    case,
    cast,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, array

from engage_etl.store.custom_attributes import Scope, known_attributes
from engage_etl.vocabulary.attributes import ATTRIBUTES, CUSTOM, MEMBER, CustomType, Kind

NULL = literal_column("'null'::jsonb", JSONB)
EMPTY = literal({}, JSONB)


@dataclass(frozen=True)
class Names:
    """Custom and member attributes as history names them. keys: comparison forms by name; dates: those that hold dates."""

    keys: dict[str, str]
    dates: tuple[str, ...]

    def key_of(self, field: ColumnElement[str]) -> ColumnElement[str]:
        """The key of a custom or member attribute, null of any other field."""
        return literal(self.keys, JSONB).op("->>", return_type=Text())(field)

    def is_date(self, field: ColumnElement[str]) -> ColumnElement[bool]:
        """Whether a field holds dates, which compare by value (R33)."""
        return literal(dict.fromkeys(self.dates, True), JSONB).op("?", return_type=Boolean())(field)


def read_names(connection: Connection) -> Names:
    """The attributes that the store knows; they are never removed."""
    keys: dict[str, str] = {}
    dates = [attribute.field for attribute in ATTRIBUTES if attribute.kind is Kind.DATE]
    for scope, prefix in ((Scope.CUSTOM, CUSTOM), (Scope.MEMBER, MEMBER)):
        known = known_attributes(connection, scope)
        keys |= {prefix + attribute.name: key for key, attribute in known.items()}
        dates += [prefix + attribute.name for attribute in known.values() if attribute.type is CustomType.DATE]
    return Names(keys, tuple(dates))


def plain(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """A value of JSON, with null of SQL for that of JSON."""
    return func.nullif(value, NULL, type_=JSONB)


def text_of(value: ColumnElement[Any]) -> ColumnElement[str]:
    """A value of JSON as text, without quotes."""
    return value.op("#>>", return_type=Text())(cast(array([]), ARRAY(Text)))


def as_moment(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """A date of JSON as the moment that it means; no offset means UTC, as the connection's time zone (R16)."""
    return cast(text_of(value), DateTime(timezone=True))


def given_values(names: Names, changes: ColumnElement[Any], prefix: str | None, place: int = 1) -> ColumnElement[Any]:
    """The values after (place 1) or before (0) some changes, as an object; those that are none are left out.

    prefix: of custom or member attributes, whose values are named by key; None: the standard attributes.
    """
    entry = func.jsonb_each(changes).table_valued("key", "value", name=f"{prefix or 'standard'}entry{place}")
    value = cast(entry.c.value, JSONB)[place]
    name: ColumnElement[str] = entry.c.key
    is_meant: ColumnElement[bool] = name.in_([attribute.field for attribute in ATTRIBUTES])
    if prefix is not None:
        name, is_meant = names.key_of(name), name.startswith(prefix)
    values = select(func.jsonb_object_agg(name, value, type_=JSONB)).select_from(entry)
    found = values.where(is_meant, name.is_not(None), plain(value).is_not(None)).scalar_subquery()
    return func.coalesce(found, EMPTY, type_=JSONB)


def turned_round(changes: ColumnElement[Any]) -> ColumnElement[Any]:
    """Changes the other way round: field to [after, before]."""
    entry = func.jsonb_each(changes).table_valued("key", "value", name="turned")
    pair = cast(entry.c.value, JSONB)
    turned = func.jsonb_object_agg(entry.c.key, func.jsonb_build_array(pair[1], pair[0]), type_=JSONB)
    return select(turned).select_from(entry).scalar_subquery()


def about(file: str, rows: FromClause, *parts: ColumnElement[str] | str) -> ColumnElement[str]:
    """``<file>, row <row>: contact <id>: `` and the parts; a change without a row has only the file."""
    row = case((rows.c.row.is_not(None), func.concat(", row ", rows.c.row)), else_="")
    return func.concat(literal(file, Text), row, ": contact ", rows.c.contact_id, ": ", *parts)
