"""One person leaves the store: profile, memberships, history, plans and messages, in one transaction."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    Text,
    and_,
    case,
    cast,
    delete,
    false,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, array

from engage_etl.erasure.person import Person
from engage_etl.erasure.stage_rows import ERASED_ROW
from engage_etl.store.imports import find_import, update_import
from engage_etl.store.readers import erase_from_marts
from engage_etl.store.tables import contact, contact_change, membership, plan_leaver, plan_row, revert_detail
from engage_etl.vocabulary.attributes import IDENTIFIER

_PLANNED = ("changes", "custom", "member", "email_key", "mobile_key", "contact_id", "contact_version")


def planned_rows(connection: Connection, person: Person) -> dict[str, set[int]]:
    """Which rows of which imports are about the person, as plans and history tell."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    in_plans = select(plan_row.c.import_id, plan_row.c.row).where(_is_planned_for(person))
    in_history = select(contact_change.c.import_id, contact_change.c.row).where(
        contact_change.c.contact_id == person.contact_id
    )
    for query in (in_plans, in_history):
        for import_id, row in connection.execute(query).tuples():
            found[import_id].update(() if row is None else (row,))
    return dict(found)


def erase_from_store(connection: Connection, person: Person, imports: Iterable[str]) -> Counter[str]:
    """Erase the person in the transaction of the caller; returns how many rows of what were erased or changed.

    imports: that the person was in, whose errors and warnings are looked at.
    """
    contact_id, erased = person.contact_id, Counter[str]()
    erased["memberships"] = _rowcount(connection, select(membership).where(membership.c.contact_id == contact_id))
    erased["contacts"] = connection.execute(delete(contact).where(contact.c.contact_id == contact_id)).rowcount
    for name, table in (("history", contact_change), ("leavers", plan_leaver), ("revert_details", revert_detail)):
        gone = delete(table).where(table.c.contact_id == contact_id)
        erased[name] = connection.execute(gone).rowcount
    blank = update(plan_row).where(_is_planned_for(person)).values(dict.fromkeys(_PLANNED) | {"message": _message()})
    erased["plan_rows"] = connection.execute(blank).rowcount
    erased["messages"] = _edit_messages(connection, person)
    for table in (contact_change, plan_row):
        erased["changes_of_others"] += _take_out_of_changes(connection, table, person)
    erased["changes_of_others"] += _take_out_of_revert_details(connection, person)
    erased["marts"] = erase_from_marts(connection, contact_id)
    erased["errors_and_warnings"] = sum(_edit_register(connection, person, import_id) for import_id in imports)
    return erased


def _rowcount(connection: Connection, query: Any) -> int:
    return connection.scalar(select(func.count()).select_from(query.subquery())) or 0


def _message() -> ColumnElement[str]:
    return case((plan_row.c.message.is_not(None), literal(ERASED_ROW)))


def _is_planned_for(person: Person) -> ColumnElement[bool]:
    """Rows of plans for the contact, or for nobody yet with a key of theirs."""
    theirs = or_(
        plan_row.c.email_key.in_(list(person.keys.get("email", ()))),
        plan_row.c.mobile_key.in_(list(person.keys.get("mobile_number", ()))),
        plan_row.c.changes[(IDENTIFIER, 1)].astext.in_(list(person.spellings.get(IDENTIFIER, ()))),
        plan_row.c.changes[("app_alias", 1)].astext.in_(list(person.spellings.get("app_alias", ()))),
    )
    return or_(plan_row.c.contact_id == person.contact_id, and_(plan_row.c.contact_id.is_(None), theirs))


def _edit_messages(connection: Connection, person: Person) -> int:
    """Messages about other rows that name the person: hints about identifiers that nearly match, shared identifiers."""
    key = [plan_row.c.import_id, plan_row.c.row, plan_row.c.planned_on]
    is_named = or_(false(), *(func.strpos(plan_row.c.message, context) > 0 for context in person.contexts()))
    edited = 0
    for import_id, row, day, message in connection.execute(select(*key, plan_row.c.message).where(is_named)).tuples():
        told = person.without(message)
        if told != message:
            here = and_(plan_row.c.import_id == import_id, plan_row.c.row == row, plan_row.c.planned_on == day)
            connection.execute(update(plan_row).where(here).values(message=told))
            edited += 1
    return edited


def _take_out_of_changes(connection: Connection, table: Table, person: Person) -> int:
    """Changes of other contacts from or to an identifier or address that nobody has now but the person had.

    The field is taken out of the change as a whole, so that no undo ever writes what was erased.
    """
    edited = 0
    for field, spellings in person.spellings.items():
        sides = (table.c.changes[(field, place)].astext.in_(list(spellings)) for place in (0, 1))
        without = table.c.changes.op("-")(literal(field))
        statement = update(table).where(table.c.changes.has_key(field), or_(*sides)).values(changes=without)
        edited += connection.execute(statement).rowcount
    return edited


def _take_out_of_revert_details(connection: Connection, person: Person) -> int:
    """Values of other contacts that a revert has left as they were, where they were the person's."""
    edited, columns = 0, revert_detail.c
    for field, spellings in person.spellings.items():
        for column in (columns.before, columns.given, columns.now):
            text = column.op("#>>", return_type=Text())(cast(array([]), ARRAY(Text)))
            statement = update(revert_detail).where(columns.field == field, text.in_(list(spellings)))
            edited += connection.execute(statement.values({column.name: None})).rowcount
    return edited


def _edit_register(connection: Connection, person: Person, import_id: str) -> int:
    """Errors and warnings in the register are sentences, too."""
    entry = find_import(connection, import_id)
    values: dict[str, Any] = {
        "error_message": person.without(entry.error_message) if entry.error_message else entry.error_message,
        "warnings": [person.without(warning) for warning in entry.warnings],
    }
    if values == {"error_message": entry.error_message, "warnings": entry.warnings}:
        return 0
    update_import(connection, import_id, **values)
    return 1
