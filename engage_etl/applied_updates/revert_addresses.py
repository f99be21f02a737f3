"""Whose address it is after a revert: R11 and R19, all at once, judged on the state after it.

The addresses of one contact are restored together or not at all, as a row of an import is. Two contacts never want the
same address back, since both had theirs at the same time. So what matters is who holds it now, and gives it up or not.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    true,
    union,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from engage_etl.applied_updates.revert_tables import (
    REMOVED,
    WHOLE,
    Result,
    email_form,
    left_as_is,
    past_change,
    past_value,
    taken_back,
)
from engage_etl.applied_updates.revert_values import about
from engage_etl.store.statistics import analyze
from engage_etl.store.tables import KEY_COLUMNS, contact
from engage_etl.vocabulary.attributes import ADDRESSES, BY_FIELD, Kind
from engage_etl.vocabulary.comparison import comparison_form

_FIELDS = [address.field for address in ADDRESSES]
_EMAIL = next(address.field for address in ADDRESSES if address.kind is Kind.EMAIL)
_ROWS_AT_A_TIME = 5_000
_LAST_ADDRESS = "its addresses are not restored, since that would leave it without any."


def note_email_forms(connection: Connection) -> None:
    """Have Python compute the comparison forms of e-mail addresses that are not ASCII: PostgreSQL lowers other letters."""
    value = past_change.c.changes[(_EMAIL, 0)].astext
    query = select(value).where(value.is_not(None), ~_is_ascii(value)).distinct()
    # Read as a whole before the first is written: one connection does one thing at a time.
    values: list[str] = list(connection.scalars(query))
    for start in range(0, len(values), _ROWS_AT_A_TIME):
        rows = [
            {"value": found, "form": comparison_form(Kind.EMAIL, found)}
            for found in values[start : start + _ROWS_AT_A_TIME]
        ]
        connection.execute(insert(email_form), rows)
    analyze(connection, email_form)


def address_form(field: str, value: ColumnElement[str]) -> ColumnElement[Any]:
    """The comparison form of an address (R13): of ASCII in the store, of others as ``note_email_forms`` has found it."""
    kind, value = BY_FIELD[field].kind, value.collate("C")
    if kind is Kind.EMAIL:
        noted = select(email_form.c.form).where(email_form.c.value == value).limit(1).scalar_subquery()
        return case((_is_ascii(value), func.lower(value)), else_=noted)
    if kind is Kind.MOBILE:
        return case((func.left(value, 1) == "+", func.substr(value, 2)), else_=value)
    return value


def fail_addresses(connection: Connection, file: str) -> None:
    """Turn what cannot be restored because of an address from restored into failed."""
    for field in _FIELDS:
        names = [column.name for column in taken_back.columns]
        connection.execute(insert(taken_back).from_select(names, _taken_addresses(field)))
    connection.execute(insert(left_as_is).from_select(["contact_id", "problem"], _left_without_address()))
    connection.execute(insert(left_as_is).from_select(["contact_id"], _refused()))
    analyze(connection, left_as_is)
    kept = select(left_as_is.c.contact_id)
    connection.execute(update(taken_back).where(taken_back.c.holder_id.in_(kept)).values(is_kept=true()))
    connection.execute(
        update(left_as_is).where(left_as_is.c.problem.is_(None)).values(problem=_holders().scalar_subquery())
    )
    connection.execute(
        update(past_value)
        .where(past_value.c.contact_id == left_as_is.c.contact_id, _is_restored(), _is_about_addresses())
        .values(result=Result.FAILED.value, message=about(file, past_value, left_as_is.c.problem))
    )


def _is_ascii(value: ColumnElement[str]) -> ColumnElement[bool]:
    return func.octet_length(value) == func.length(value)


def _is_restored() -> ColumnElement[bool]:
    return past_value.c.result == Result.RESTORED.value


def _is_about_addresses() -> ColumnElement[bool]:
    return past_value.c.field.in_([*_FIELDS, WHOLE])


def _taken_addresses(field: str) -> Select[Any]:
    """Addresses of one kind that contacts take back from others, and whether these give them up."""
    form = address_form(field, past_change.c.changes[(field, 0)].astext)
    by_contacts = select(past_value.c.contact_id, past_value.c.address_key.label("key")).where(
        _is_restored(), past_value.c.field == field, past_value.c.address_key.is_not(None)
    )
    by_new_ones = (
        select(past_change.c.contact_id, form.label("key"))
        .join(past_value, past_value.c.contact_id == past_change.c.contact_id)
        .where(past_change.c.outcome == REMOVED, past_value.c.field == WHOLE, _is_restored())
    )
    wanted = union_all(by_contacts, by_new_ones).subquery("wanted")
    holder, release = contact.alias("holder"), past_value.alias("release")
    gives_another = or_(release.c.address_key.is_not(None), release.c.before.is_(None))
    released = select(release.c.contact_id).where(
        release.c.contact_id == holder.c.contact_id,
        release.c.result == Result.RESTORED.value,
        or_(release.c.field == WHOLE, and_(release.c.field == field, gives_another)),
    )
    return select(wanted.c.contact_id, literal(field), holder.c.contact_id, not_(released.exists())).join_from(
        wanted, holder, holder.c[KEY_COLUMNS[field]] == wanted.c.key
    )


def _left_without_address() -> Select[Any]:
    """Contacts that clearing would leave without any address (R19)."""
    row = past_value.c
    clears = select(row.contact_id).where(_is_restored(), row.field.in_(_FIELDS), row.before.is_(None))
    has_address = or_(*(_has_after(field) for field in _FIELDS))
    return (
        select(row.contact_id, literal(_LAST_ADDRESS))
        .join(contact, contact.c.contact_id == row.contact_id)
        .where(row.contact_id.in_(clears), row.field.in_(_FIELDS), _is_restored())
        .group_by(row.contact_id, contact.c.contact_id)
        .having(not_(has_address))
    )


def _has_after(field: str) -> ColumnElement[bool]:
    """Whether a contact has an address of one kind once all that can be restored is."""
    is_field = past_value.c.field == field
    is_given_back = func.bool_or(and_(is_field, past_value.c.before.is_not(None)))
    return case((func.bool_or(is_field), is_given_back), else_=contact.c[field].is_not(None))


def _refused() -> Select[Any]:
    """Contacts that take back an address whose holder keeps it, in the end because of one that keeps its own (R11)."""
    lost = select(left_as_is.c.contact_id)
    first = union(lost, select(taken_back.c.contact_id).where(taken_back.c.is_kept)).subquery("first")
    refused = select(first.c.contact_id).cte("refused", recursive=True)
    refused = refused.union(
        select(taken_back.c.contact_id).join(refused, taken_back.c.holder_id == refused.c.contact_id)
    )
    return select(refused.c.contact_id).where(refused.c.contact_id.not_in(lost))


def _holders() -> Select[Any]:
    """Who has the addresses, as the rest of a sentence."""
    held = func.concat(taken_back.c.field, " is held by contact ", taken_back.c.holder_id)
    told = func.string_agg(held, aggregate_order_by(literal(", "), taken_back.c.field))
    return select(func.concat("its addresses are not restored, since its former ", told, ", who keeps it.")).where(
        taken_back.c.contact_id == left_as_is.c.contact_id, taken_back.c.is_kept
    )
