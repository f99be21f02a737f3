"""What of an import can be taken back: each change restored, kept or failed (R36); nothing is written yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Text,
    and_,
    case,
    cast,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB

from engage_etl.applied_updates.revert_addresses import address_form, fail_addresses, note_email_forms
from engage_etl.applied_updates.revert_tables import (
    REMOVED,
    WHOLE,
    Result,
    create_revert_tables,
    past_change,
    past_value,
)
from engage_etl.applied_updates.revert_values import Names, about, as_moment, given_values, plain, text_of
from engage_etl.store.bulk_work import prepare_bulk_work
from engage_etl.store.statistics import analyze
from engage_etl.store.tables import KEY_COLUMNS, contact, contact_change, import_register, membership
from engage_etl.vocabulary.attributes import ADDRESSES, ATTRIBUTES, CUSTOM, GROUPS, MEMBER
from engage_etl.vocabulary.outcomes import Outcome, Status

_CHANGED = " was changed since the import, so that it stays as it is."
_MEMBERSHIP = "the membership's attributes or subscription were changed since the import, so that it stays."
_NO_MEMBERSHIP = " is not restored, since the membership has ended since the import."
_GONE = "it no longer exists."
_TOUCHED = "it or its memberships were changed since the import, so that it stays."
_BACK_AGAIN = "it is there again already, so that it was not created anew."


@dataclass(frozen=True)
class Undoing:
    """What a revert is about. import_id: of the import that is undone; file, group_id: of that import."""

    import_id: str
    file: str
    group_id: int
    names: Names


def judge_changes(connection: Connection, undoing: Undoing) -> None:
    """Fill ``past_value``: each change that the import made, and whether it is restored, kept or failed."""
    prepare_bulk_work(connection)
    create_revert_tables(connection)
    _gather_history(connection, undoing.import_id)
    note_email_forms(connection)
    for changes in (_field_changes(undoing), _removals(undoing), _creations(undoing)):
        names = [column.name for column in changes.selected_columns]
        connection.execute(insert(past_value).from_select(names, changes))
    analyze(connection, past_value)
    fail_addresses(connection, undoing.file)


def count_results(connection: Connection) -> dict[str, int]:
    """How many changes are restored, kept and failed, all three."""
    query = select(past_value.c.result, func.count()).group_by(past_value.c.result)
    counted: dict[str, int] = dict(connection.execute(query).tuples().all())
    return {result.value: 0 for result in Result} | counted


def _gather_history(connection: Connection, import_id: str) -> None:
    names = [column.name for column in past_change.columns]
    rows = select(*(contact_change.c[name] for name in names)).where(contact_change.c.import_id == import_id)
    connection.execute(insert(past_change).from_select(names, rows))
    analyze(connection, past_change)


def _field_changes(undoing: Undoing) -> Select[Any]:
    """Fields, attributes and memberships of contacts that the import updated."""
    found = _found_fields(undoing.names, undoing.group_id)
    problem = _field_problem(undoing.names, found)
    is_restored = problem.is_(None)
    keys = [(found.c.field == address.field, _taken_key(address.field, found)) for address in ADDRESSES]
    return select(
        found.c.contact_id,
        found.c.row,
        found.c.field,
        found.c.name_key,
        found.c.before,
        found.c.given,
        found.c.now,
        case((is_restored, case(*keys))).label("address_key"),
        case((is_restored, Result.RESTORED.value), else_=Result.KEPT.value).label("result"),
        case((problem.is_not(None), about(undoing.file, found, problem))).label("message"),
    )


def _found_fields(names: Names, group_id: int) -> FromClause:
    """One row for each changed field: its value before, the value given, and the one that is stored now."""
    entry = func.jsonb_each(past_change.c.changes).table_valued("key", "value", name="entry")
    field, pair = entry.c.key, cast(entry.c.value, JSONB)
    name_key = names.key_of(field)
    before, given = plain(pair[0]), plain(pair[1])
    standard = [
        (field == attribute.field, func.to_jsonb(contact.c[attribute.field], type_=JSONB)) for attribute in ATTRIBUTES
    ]
    is_member = membership.c.contact_id.is_not(None)
    now = case(
        *standard,
        (field == GROUPS, case((is_member, func.coalesce(before, given, type_=JSONB)))),
        (field.startswith(CUSTOM), plain(contact.c.custom.op("->", return_type=JSONB())(name_key))),
        else_=plain(membership.c.attributes.op("->", return_type=JSONB())(name_key)),
    )
    return (
        select(
            past_change.c.contact_id,
            past_change.c.row,
            past_change.c.changed_at,
            past_change.c.changes,
            field.label("field"),
            name_key.label("name_key"),
            before.label("before"),
            given.label("given"),
            now.label("now"),
            contact.c.contact_id.label("existing_id"),
            *(contact.c[key].label(f"held_{field_name}") for field_name, key in KEY_COLUMNS.items()),
            membership.c.contact_id.label("member_id"),
            membership.c.attributes,
            membership.c.unsubscribed_at,
        )
        .join_from(past_change, entry, true())
        .outerjoin(contact, contact.c.contact_id == past_change.c.contact_id)
        .outerjoin(membership, _is_membership(group_id))
        .where(past_change.c.outcome == Outcome.UPDATED.value)
        .subquery("found")
    )


def _is_membership(group_id: int) -> ColumnElement[bool]:
    return and_(membership.c.contact_id == past_change.c.contact_id, membership.c.group_id == group_id)


def _field_problem(names: Names, found: FromClause) -> ColumnElement[str]:
    """Why a change stays, as a sentence; null where it is taken back."""
    field, given = found.c.field, found.c.given
    begins = and_(field == GROUPS, given.is_not(None))
    is_lost_attribute = and_(field.startswith(MEMBER), found.c.member_id.is_(None), ~found.c.changes.has_key(GROUPS))
    is_unknown = and_(or_(field.startswith(MEMBER), field.startswith(CUSTOM)), found.c.name_key.is_(None))
    return case(
        (found.c.existing_id.is_(None), _GONE),
        (or_(~_is_same(names, field, found.c.now, given), is_unknown), func.concat(field, _CHANGED)),
        (and_(begins, ~_is_untouched_membership(names, found)), _MEMBERSHIP),
        (is_lost_attribute, func.concat(field, _NO_MEMBERSHIP)),
        else_=cast(null(), Text),
    )


def _is_same(
    names: Names, field: ColumnElement[str], now: ColumnElement[Any], given: ColumnElement[Any]
) -> ColumnElement[bool]:
    """Whether a field has the value still; dates compare by value (R33)."""
    # CASE, since only dates may be read as moments and AND does not say in which order its sides are evaluated.
    is_same_moment = case((names.is_date(field), as_moment(now).is_not_distinct_from(as_moment(given))), else_=False)
    return or_(now.is_not_distinct_from(given), is_same_moment)


def _is_untouched_membership(names: Names, rows: FromClause) -> ColumnElement[bool]:
    """Whether a membership that the import began has the attributes of then, and no unsubscription since."""
    unsubscribed = and_(rows.c.unsubscribed_at.is_not(None), rows.c.unsubscribed_at > rows.c.changed_at)
    return and_(rows.c.attributes == given_values(names, rows.c.changes, MEMBER), ~unsubscribed)


def _taken_key(field: str, found: FromClause) -> ColumnElement[Any]:
    """The comparison form of an address that the contact takes back, null where it holds it already (R11, R13)."""
    form = address_form(field, text_of(found.c.before))
    return case((form.is_distinct_from(found.c[f"held_{field}"]), form))


def _removals(undoing: Undoing) -> Select[Any]:
    """Contacts that the import created: removed if nobody has touched them since."""
    found = _found_contacts(undoing.group_id, Outcome.CREATED.value)
    problem = case(
        (found.c.existing_id.is_(None), _GONE),
        (~_is_untouched(undoing.names, found), _TOUCHED),
        else_=cast(null(), Text),
    )
    return _whole(undoing.file, found, problem)


def _creations(undoing: Undoing) -> Select[Any]:
    """Contacts that the revert of an import removed: created anew, as they were."""
    found = _found_contacts(undoing.group_id, REMOVED)
    return _whole(undoing.file, found, case((found.c.existing_id.is_not(None), _BACK_AGAIN), else_=cast(null(), Text)))


def _whole(file: str, found: FromClause, problem: ColumnElement[str]) -> Select[Any]:
    return select(
        found.c.contact_id,
        found.c.row,
        literal(WHOLE).label("field"),
        case((problem.is_(None), Result.RESTORED.value), else_=Result.KEPT.value).label("result"),
        case((problem.is_not(None), about(file, found, problem))).label("message"),
    )


def _found_contacts(group_id: int, outcome: str) -> FromClause:
    """Contacts that the import created or removed, with what is stored of them now."""
    every = membership.alias("every_membership")
    memberships = select(func.count()).where(every.c.contact_id == past_change.c.contact_id).scalar_subquery()
    return (
        select(
            *past_change.c,
            contact.c.contact_id.label("existing_id"),
            contact.c.version.label("version_now"),
            contact.c.custom,
            _stored_values().label("stored"),
            membership.c.attributes,
            membership.c.unsubscribed_at,
            memberships.label("memberships"),
        )
        .outerjoin_from(past_change, contact, contact.c.contact_id == past_change.c.contact_id)
        .outerjoin(membership, _is_membership(group_id))
        .where(past_change.c.outcome == outcome)
        .subquery("found")
    )


def _stored_values() -> ColumnElement[Any]:
    """The standard attributes of a contact as an object, without those that it lacks."""
    pairs: Iterator[Column[Any] | str] = (
        part for attribute in ATTRIBUTES for part in (attribute.field, contact.c[attribute.field])
    )
    return func.jsonb_strip_nulls(func.jsonb_build_object(*pairs), type_=JSONB)


def _is_untouched(names: Names, found: FromClause) -> ColumnElement[bool]:
    """Whether a contact is as the import left it: no change since but those that were themselves taken back."""
    changes = found.c.changes
    joins = changes.has_key(GROUPS)
    has_its_memberships = and_(
        found.c.memberships == case((joins, 1), else_=0),
        or_(~joins, _is_untouched_membership(names, found).is_(True)),
    )
    is_as_it_was = and_(
        found.c.version_now - found.c.version == _undone_changes(found),
        found.c.stored == given_values(names, changes, None),
        found.c.custom == given_values(names, changes, CUSTOM),
    )
    return and_(has_its_memberships, or_(found.c.version_now == found.c.version, is_as_it_was))


def _undone_changes(found: FromClause) -> ColumnElement[int]:
    """How many later changes of a contact are of imports that were reverted, or of these reverts."""
    register, later = import_register.c, contact_change.alias("later")
    undone = select(register.import_id).where(
        or_(register.status == Status.REVERTED, and_(register.reverts.is_not(None), register.status == Status.APPLIED))
    )
    return (
        select(func.count())
        .where(
            later.c.contact_id == found.c.contact_id,
            later.c.version > found.c.version,
            later.c.import_id.in_(undone),
        )
        .scalar_subquery()
    )
