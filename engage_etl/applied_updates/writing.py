"""The statements that write what a plan says (R30, R33, R37); they decide nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    FromClause,
    MetaData,
    Select,
    SmallInteger,
    Table,
    and_,
    case,
    cast,
    delete,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as insert_or_keep

from engage_etl.match_plan.stage import PlanInput
from engage_etl.store.bulk_work import prepare_bulk_work
from engage_etl.store.statistics import analyze
from engage_etl.store.tables import (
    KEY_COLUMNS,
    contact,
    contact_change,
    custom_attribute,
    ended_membership,
    membership,
    plan_attribute,
    plan_leaver,
    plan_row,
)
from engage_etl.vocabulary.attributes import ATTRIBUTES, CUSTOM, GROUPS, Attribute, Kind
from engage_etl.vocabulary.outcomes import Outcome

writing_row = Table(
    "writing_row",
    MetaData(),
    *(Column(column.name, column.type) for column in plan_row.columns if column.name not in ("reason", "message")),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)
"""The rows of the plan that write, apart from all other plans: PostgreSQL knows how many they are, and joins well."""

MANY_NEW_CONTACTS = 10_000
_EMPTY = literal({}, JSONB)


def write_updates(connection: Connection, plan: PlanInput, changed: Mapping[str, Collection[str]]) -> None:
    """Write attributes, contacts, memberships and history as the plan in ``plan_row`` says.

    changed: fields that its rows change, by outcome.
    """
    prepare_bulk_work(connection)
    _create_attributes(connection, plan.import_id)
    _gather_rows(connection, plan.import_id)
    vacate_addresses(connection)
    update_contacts(connection, frozenset(changed.get(Outcome.UPDATED, ())))
    _create_contacts(connection, plan.import_id)
    add_members(connection, plan.group_id)
    update_members(connection, plan.group_id)
    remove_members(connection, plan.import_id, plan.group_id)
    write_history(connection)
    _take_out_leavers(connection, plan)
    _refresh_statistics(connection)


def _gather_rows(connection: Connection, import_id: str) -> None:
    writing_row.create(connection, checkfirst=False)
    names = [column.name for column in writing_row.columns]
    rows = select(*(plan_row.c[name] for name in names)).where(
        plan_row.c.import_id == import_id, plan_row.c.outcome.in_([Outcome.CREATED.value, Outcome.UPDATED.value])
    )
    connection.execute(insert(writing_row).from_select(names, rows))
    analyze(connection, writing_row)


def _create_attributes(connection: Connection, import_id: str) -> None:
    """Custom and member attributes that do not exist yet (R17)."""
    names = ["scope", "name_key", "name", "type", "allowed_values"]
    new = select(*(plan_attribute.c[name] for name in names)).where(plan_attribute.c.import_id == import_id)
    connection.execute(insert_or_keep(custom_attribute).from_select(names, new).on_conflict_do_nothing())


def vacate_addresses(connection: Connection) -> None:
    """Take addresses from contacts that get others, where another row of the plan takes them over (R11).

    A plain unique index judges each row as it is written, so that two contacts could not swap addresses otherwise.
    """
    row = writing_row.c
    for field, key in KEY_COLUMNS.items():
        after = _after(writing_row, field)
        is_other = row[key].is_not(None) if key != field else true()  # not merely spelled otherwise (R13)
        vacated = select(row.contact_id).where(
            row.is_vacated, row.changes.has_key(field), or_(after.is_(None), is_other)
        )
        values = {contact.c[field]: null(), contact.c[key]: null()}
        connection.execute(update(contact).where(contact.c.contact_id.in_(vacated)).values(values))


def update_contacts(connection: Connection, fields: Collection[str]) -> None:
    """Contacts that the plan updates: changed fields only, one version on (R5, R33).

    fields: that some of its rows change; the others need no look at each row.
    """
    row = writing_row.c
    values: dict[str, ColumnElement[Any]] = {
        attribute.field: case(
            (row.changes.has_key(attribute.field), typed_after(attribute)), else_=contact.c[attribute.field]
        )
        for attribute in ATTRIBUTES
        if attribute.field in fields
    }
    for field in ("email", "mobile_number"):
        if field in fields:
            values[KEY_COLUMNS[field]] = _key_after(field)
    if any(field.startswith(CUSTOM) for field in fields):
        values["custom"] = case(
            (row.custom.is_not(None), overlaid(contact.c.custom, row.custom)), else_=contact.c.custom
        )
    connection.execute(
        update(contact)
        .where(row.outcome == Outcome.UPDATED.value, row.contact_id == contact.c.contact_id)
        .values(**values, version=contact.c.version + 1, updated_at=func.now())
    )


def _key_after(field: str) -> ColumnElement[Any]:
    """The comparison form of an address after the change: the plan has it where it is another one (R13)."""
    key, row = KEY_COLUMNS[field], writing_row.c
    is_cleared = and_(row.changes.has_key(field), _after(writing_row, field).is_(None))
    return case((is_cleared, null()), else_=func.coalesce(row[key], contact.c[key]))


def _create_contacts(connection: Connection, import_id: str) -> None:
    """Contacts that the plan creates (R6); their ids are drawn first, for memberships and history."""
    row = writing_row.c
    is_created = row.outcome == Outcome.CREATED.value
    connection.execute(update(writing_row).where(is_created).values(contact_id=func.nextval(_contact_sequence())))
    columns = ["contact_id", *(attribute.field for attribute in ATTRIBUTES), "email_key", "mobile_key", "custom"]
    created = (
        select(
            row.contact_id,
            *(typed_after(attribute) for attribute in ATTRIBUTES),
            row.email_key,
            row.mobile_key,
            overlaid(_EMPTY, row.custom),
        )
        .where(is_created)
        .order_by(row.row)
    )
    connection.execute(insert(contact).from_select(columns, created))
    connection.execute(
        update(plan_row)
        .where(plan_row.c.import_id == import_id, is_created, plan_row.c.row == row.row)
        .values(contact_id=row.contact_id)
    )


def _contact_sequence() -> ColumnElement[str]:
    return func.pg_get_serial_sequence(contact.fullname, contact.c.contact_id.name)


def add_members(connection: Connection, group_id: int) -> None:
    """Contacts that become members of the import's group (R20)."""
    row = writing_row.c
    joins = select(literal(group_id), row.contact_id, overlaid(_EMPTY, row.member)).where(
        _after(writing_row, GROUPS).is_not(None)
    )
    connection.execute(insert(membership).from_select(["group_id", "contact_id", "attributes"], joins))


def update_members(connection: Connection, group_id: int) -> None:
    """Attributes of memberships that were there before."""
    row = writing_row.c
    connection.execute(
        update(membership)
        .where(
            membership.c.group_id == group_id,
            membership.c.contact_id == row.contact_id,
            row.member.is_not(None),
            ~row.changes.has_key(GROUPS),
        )
        .values(attributes=overlaid(membership.c.attributes, row.member))
    )


def remove_members(connection: Connection, import_id: str, group_id: int) -> None:
    """Members that leave the group, and their attributes with them (R20, ``remove``)."""
    row = writing_row.c
    leaving = row.changes.has_key(GROUPS) & _after(writing_row, GROUPS).is_(None)
    _end_memberships(connection, import_id, group_id, select(row.contact_id).where(leaving))


def _take_out_leavers(connection: Connection, plan: PlanInput) -> None:
    """Members that the file lacks leave the group; a change of their contacts without a row (R20, ``replace``)."""
    leavers = select(plan_leaver.c.contact_id).where(plan_leaver.c.import_id == plan.import_id)
    _end_memberships(connection, plan.import_id, plan.group_id, leavers)
    connection.execute(
        update(contact)
        .where(contact.c.contact_id.in_(leavers))
        .values(version=contact.c.version + 1, updated_at=func.now())
    )
    left = (
        select(
            plan_leaver.c.import_id,
            contact.c.contact_id,
            contact.c.version,
            literal(Outcome.UPDATED.value),
            plan_leaver.c.changes,
        )
        .join_from(plan_leaver, contact, contact.c.contact_id == plan_leaver.c.contact_id)
        .where(plan_leaver.c.import_id == plan.import_id)
        .order_by(contact.c.contact_id)
    )
    columns = ["import_id", "contact_id", "version", "outcome", "changes"]
    connection.execute(insert(contact_change).from_select(columns, left))


def _end_memberships(connection: Connection, import_id: str, group_id: int, leavers: Select[tuple[int]]) -> None:
    """End memberships; since when they were there, and unsubscribed, is kept for a revert (R36)."""
    names = ["contact_id", "joined_at", "unsubscribed_at"]
    ended = (
        delete(membership)
        .where(membership.c.group_id == group_id, membership.c.contact_id.in_(leavers))
        .returning(*(membership.c[name] for name in names))
        .cte("ended")
    )
    kept = select(literal(import_id), *(ended.c[name] for name in names))
    connection.execute(insert(ended_membership).from_select(["import_id", *names], kept))


def write_history(connection: Connection) -> None:
    """Every change with field, before, after, import, row and time (R37); by contact, as its index is ordered."""
    row = writing_row.c
    changed = select(
        row.import_id, row.row, row.contact_id, func.coalesce(row.contact_version + 1, 1), row.outcome, row.changes
    ).order_by(row.contact_id)
    columns = ["import_id", "row", "contact_id", "version", "outcome", "changes"]
    connection.execute(insert(contact_change).from_select(columns, changed))


def _refresh_statistics(connection: Connection) -> None:
    """After many new contacts tell PostgreSQL at once; the next import may come before autovacuum does."""
    created = select(func.count()).select_from(writing_row).where(writing_row.c.outcome == Outcome.CREATED.value)
    if (connection.scalar(created) or 0) >= MANY_NEW_CONTACTS:
        for table in (contact, membership):
            analyze(connection, table)


def overlaid(stored: ColumnElement[Any], values: ColumnElement[Any]) -> ColumnElement[Any]:
    """Stored custom or member values with new ones laid over them; null takes a value away (R19)."""
    return func.jsonb_strip_nulls(stored.op("||", return_type=JSONB())(func.coalesce(values, _EMPTY)), type_=JSONB)


def typed_after(attribute: Attribute) -> ColumnElement[Any]:
    """The new value of an attribute, in the type of its column."""
    after = _after(writing_row, attribute.field)
    return cast(after, SmallInteger) if attribute.kind is Kind.TITLE else after


def _after(rows: FromClause, field: str) -> ColumnElement[str]:
    """The value after the change of a field, as text; null where the row does not change it."""
    after: ColumnElement[str] = rows.c.changes[(field, 1)].astext
    return after
