"""What a row changes: before and after of each field, as SQL expressions over staged rows and contacts (R19, R33)."""

from __future__ import annotations

from collections.abc import Collection
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
    literal_column,
    null,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, array

from engage_etl.match_plan.working_tables import staged_row
from engage_etl.store.tables import contact, membership
from engage_etl.vocabulary.attributes import (
    ATTRIBUTES,
    BY_FIELD,
    CUSTOM,
    GROUPS,
    IDENTIFIER,
    MEMBER,
    Attribute,
    CustomType,
    Kind,
)
from engage_etl.vocabulary.choices import UpdateRule
from engage_etl.vocabulary.custom_attribute import CustomAttribute
from engage_etl.vocabulary.update_rules import UpdateRules

EMPTY = literal({}, JSONB)
_NULL = literal_column("'null'::jsonb", JSONB)


@dataclass(frozen=True)
class FreeAttributes:
    """The custom or member attributes that the rows of a plan can fill, known and new, by custom_key(name).

    prefix: of their names among changes.
    """

    prefix: str
    by_key: dict[str, CustomAttribute]

    @property
    def names(self) -> dict[str, str]:
        """Display names by key."""
        return {key: attribute.name for key, attribute in self.by_key.items()}

    @property
    def date_keys(self) -> dict[str, bool]:
        """Keys of those that hold dates, which compare by value (R33)."""
        return dict.fromkeys((key for key, attribute in self.by_key.items() if attribute.type is CustomType.DATE), True)


def profile_changes(rules: UpdateRules, fields: Collection[str]) -> ColumnElement[Any]:
    """What the row changes among standard attributes, as members of a JSON object: field to [before, after].

    fields: that the file has. Text, null where nothing changes: a row has few changes among many attributes, and to put
    them together as text takes half the time of a JSON object with all attributes.
    """
    pieces = [
        case((is_changed(attribute, rules), _member(attribute.field, contact.c[attribute.field], new_value(attribute))))
        for attribute in ATTRIBUTES
        if attribute.field in fields
    ]
    return joined_members(*pieces)


def identifier_change() -> ColumnElement[Any]:
    """As a member of a JSON object the identifier that a contact without one gets (R12)."""
    attribute = BY_FIELD[IDENTIFIER]
    return _member(attribute.field, contact.c[attribute.field], new_value(attribute))


def joined_members(*members: ColumnElement[Any]) -> ColumnElement[Any]:
    """Members of a JSON object one after the other; null where all are."""
    return func.nullif(func.concat_ws(",", *members), "", type_=Text) if members else cast(null(), Text)


def as_object(members: ColumnElement[Any]) -> ColumnElement[Any]:
    """The JSON object with these members; null where there are none."""
    return cast(literal("{", Text) + members + literal("}", Text), JSONB)


def is_changed(attribute: Attribute, rules: UpdateRules) -> ColumnElement[bool]:
    """Whether the row writes the attribute: what its update rule says (R19), and not the stored value (R33)."""
    before, after, staged = contact.c[attribute.field], new_value(attribute), staged_row.c[attribute.field]
    differs = before.is_distinct_from(after)
    if attribute.kind is Kind.DATE:
        differs = and_(differs, as_moment(before).is_distinct_from(as_moment(after)))
    rule = rules.rule(attribute.field)
    if rule is UpdateRule.ALWAYS:
        return and_(staged.is_not(None), differs)
    if rule is UpdateRule.IF_STORED_BLANK:
        return and_(staged != "", before.is_(None))
    return and_(staged != "", differs)


def new_value(attribute: Attribute) -> ColumnElement[Any]:
    """The row's value of an attribute, in the type of the contact's column; null where it is blank."""
    staged = func.nullif(staged_row.c[attribute.field], "")
    return cast(staged, SmallInteger) if attribute.kind is Kind.TITLE else staged


def as_moment(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """A date or date and time as the moment that it means; no offset means UTC, as the connection's time zone (R16)."""
    return cast(value, DateTime(timezone=True))


def free_changes(attributes: FreeAttributes, rules: UpdateRules) -> FromClause:
    """For a staged row, what it changes in the custom attributes of its contact, or in its membership's attributes.

    Columns: ``changes``, members of a JSON object, ``<prefix><name>`` to [before, after], as text; ``values``, the values
    to write by key, null to clear; both null where nothing changes.
    """
    staged, stored = (
        (staged_row.c.custom, contact.c.custom)
        if attributes.prefix == CUSTOM
        else (staged_row.c.member, membership.c.attributes)
    )
    entry = func.jsonb_each(staged).table_valued("key", "value", name=f"{staged.name}_entry")
    key, after = entry.c.key, cast(entry.c.value, JSONB)
    before = func.nullif(stored.op("->", return_type=JSONB())(key), _NULL)
    is_date = literal(attributes.date_keys, JSONB).op("?", return_type=Boolean())(key)
    # CASE, since only dates may be read as moments and AND does not say in which order its sides are evaluated.
    same_moment = case((is_date, _moment_in(before).is_not_distinct_from(_moment_in(after))), else_=false())
    differs = and_(before.is_distinct_from(func.nullif(after, _NULL)), ~same_moment)
    name = func.concat(attributes.prefix, literal(attributes.names, JSONB).op("->>")(key))
    change = cast(func.to_json(name), Text) + literal(":", Text) + cast(func.jsonb_build_array(before, after), Text)
    return (
        select(
            func.string_agg(change, ",", type_=Text).label("changes"),
            func.jsonb_object_agg(key, after, type_=JSONB).label("values"),
        )
        .select_from(entry)
        # Asked first and once a row: in most rows the contact has all of these values.
        .where(func.coalesce(stored.contains(staged), false()).is_(false()))
        .where(differs, _is_written(attributes.prefix, key, before, after, rules))
        .lateral(f"{staged.name}_change")
    )


def no_free_changes(prefix: str) -> FromClause:
    """The same columns for a file without such attributes."""
    nothing = [cast(null(), Text).label("changes"), cast(null(), JSONB).label("values")]
    return select(*nothing).lateral(f"{prefix.rstrip('.')}_change")


def joining(group: str) -> ColumnElement[Any]:
    """As a member of a JSON object the membership that a row brings (R20)."""
    return _member(GROUPS, null(), literal(group))


def leaving(group: str, names: dict[str, str]) -> ColumnElement[Any]:
    """A JSON object with the membership that ends, and its attributes, which go with it (R20).

    names: display names of member attributes by key.
    """
    entry = func.jsonb_each(membership.c.attributes).table_valued("key", "value", name="lost_entry")
    name = func.concat(MEMBER, literal(names, JSONB).op("->>")(entry.c.key))
    lost = select(func.jsonb_object_agg(name, func.jsonb_build_array(entry.c.value, null()), type_=JSONB))
    lost_attributes = func.coalesce(lost.select_from(entry).scalar_subquery(), EMPTY)
    left = func.jsonb_build_object(GROUPS, func.jsonb_build_array(literal(group), null()), type_=JSONB)
    return left.op("||", return_type=JSONB())(lost_attributes)


def _is_written(
    prefix: str, key: ColumnElement[str], before: ColumnElement[Any], after: ColumnElement[Any], rules: UpdateRules
) -> ColumnElement[bool]:
    """Whether the update rule of an attribute lets its value be written (R19)."""
    single = {
        field.removeprefix(prefix): rule.value for field, rule in rules.by_field.items() if field.startswith(prefix)
    }
    rule = func.coalesce(literal(single, JSONB).op("->>")(key), rules.default.value)
    is_blank = after == _NULL
    return case(
        (rule == UpdateRule.ALWAYS.value, true()),
        (rule == UpdateRule.IF_STORED_BLANK.value, and_(~is_blank, before.is_(None))),
        else_=~is_blank,
    )


def _member(name: str, before: ColumnElement[Any], after: ColumnElement[Any]) -> ColumnElement[Any]:
    return literal(f'"{name}":', Text) + cast(func.json_build_array(before, after), Text)


def _moment_in(value: ColumnElement[Any]) -> ColumnElement[Any]:
    whole = cast(array([]), ARRAY(Text))
    return as_moment(value.op("#>>")(whole))
