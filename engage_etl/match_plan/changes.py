"""What a row changes: before and after of each field, as SQL expressions over staged rows and contacts (R19, R33)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    DateTime,
    FromClause,
    SmallInteger,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    null,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, array

from engage_etl.match_plan.working_tables import staged_row
from engage_etl.store.tables import contact
from engage_etl.vocabulary.attributes import ATTRIBUTES, CUSTOM, GROUPS, Attribute, CustomType, Kind
from engage_etl.vocabulary.custom_attribute import CustomAttribute

EMPTY = literal({}, JSONB)


@dataclass(frozen=True)
class CustomAttributes:
    """The custom attributes that the rows of a plan can fill, known and new, by custom_key(name)."""

    by_key: dict[str, CustomAttribute]

    @property
    def names(self) -> dict[str, str]:
        """Display names by key."""
        return {key: attribute.name for key, attribute in self.by_key.items()}

    @property
    def date_keys(self) -> dict[str, bool]:
        """Keys of those that hold dates, which compare by value (R33)."""
        return dict.fromkeys((key for key, attribute in self.by_key.items() if attribute.type is CustomType.DATE), True)


def profile_changes() -> ColumnElement[Any]:
    """A JSON object, field to [before, after], of the standard attributes that the row changes."""
    pairs = []
    for attribute in ATTRIBUTES:
        before, after = contact.c[attribute.field], new_value(attribute)
        change = case((is_changed(attribute), func.jsonb_build_array(before, after)))
        pairs += [literal(attribute.field), change]
    return func.jsonb_strip_nulls(func.jsonb_build_object(*pairs), type_=JSONB)


def is_changed(attribute: Attribute) -> ColumnElement[bool]:
    """Whether the row writes the attribute: a value that is not blank (R19) and not the stored one (R33)."""
    before, after = contact.c[attribute.field], new_value(attribute)
    differs = before.is_distinct_from(after)
    if attribute.kind is Kind.DATE:
        differs = and_(differs, as_moment(before).is_distinct_from(as_moment(func.nullif(after, ""))))
    return and_(staged_row.c[attribute.field] != "", differs)


def new_value(attribute: Attribute) -> ColumnElement[Any]:
    """The row's value of an attribute, in the type of the contact's column."""
    staged = staged_row.c[attribute.field]
    return cast(func.nullif(staged, ""), SmallInteger) if attribute.kind is Kind.TITLE else staged


def as_moment(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """A date or date and time as the moment that it means; no offset means UTC, as the connection's time zone (R16)."""
    return cast(value, DateTime(timezone=True))


def custom_changes(attributes: CustomAttributes) -> FromClause:
    """For a staged row, what it changes in the custom attributes.

    Columns: ``changes``, ``custom.<name>`` to [before, after]; ``values``, the values to write by key; both null
    where nothing changes.
    """
    entry = func.jsonb_each(staged_row.c.custom).table_valued("key", "value", name="entry")
    key, after = entry.c.key, cast(entry.c.value, JSONB)
    before = contact.c.custom.op("->", return_type=JSONB())(key)
    is_date = literal(attributes.date_keys, JSONB).op("?", return_type=Boolean())(key)
    # CASE, since only dates may be read as moments and AND does not say in which order its sides are evaluated.
    same_moment = case((is_date, _moment_in(before).is_not_distinct_from(_moment_in(after))), else_=false())
    differs = and_(before.is_distinct_from(after), ~same_moment)
    name = func.concat(CUSTOM, literal(attributes.names, JSONB).op("->>")(key))
    return (
        select(
            func.jsonb_object_agg(name, func.jsonb_build_array(before, after), type_=JSONB).label("changes"),
            func.jsonb_object_agg(key, after, type_=JSONB).label("values"),
        )
        .select_from(entry)
        .where(after != literal(None, JSONB), differs)
        .lateral("custom_change")
    )


def no_custom_changes() -> FromClause:
    """The same columns for a file without custom attributes."""
    nothing = cast(null(), JSONB)
    return select(nothing.label("changes"), nothing.label("values")).lateral("custom_change")


def membership_change(is_member: ColumnElement[bool], group: str) -> ColumnElement[Any]:
    """A JSON object with the membership that the row brings, empty for members (R20)."""
    joins = func.jsonb_build_object(GROUPS, func.jsonb_build_array(null(), literal(group)), type_=JSONB)
    return case((is_member, EMPTY), else_=joins)


def _moment_in(value: ColumnElement[Any]) -> ColumnElement[Any]:
    whole = cast(array([]), ARRAY(Text))
    return as_moment(value.op("#>>")(whole))
