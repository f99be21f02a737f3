"""The statements that write what a revert has judged; they decide nothing."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    case,
    cast,
    delete,
    false,
    func,
    insert,
    literal,
    null,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from engage_etl.applied_updates.revert_addresses import address_form
from engage_etl.applied_updates.revert_judging import Undoing
from engage_etl.applied_updates.revert_tables import REMOVED, WHOLE, Result, past_change, past_value, taken_back
from engage_etl.applied_updates.revert_values import EMPTY, NULL, Names, given_values, turned_round
from engage_etl.applied_updates.writing import (
    add_members,
    overlaid,
    remove_members,
    typed_after,
    update_contacts,
    update_members,
    vacate_addresses,
    write_history,
    writing_row,
)
from engage_etl.store.statistics import analyze
from engage_etl.store.tables import contact, contact_change, ended_membership, membership, revert_detail
from engage_etl.vocabulary.attributes import ATTRIBUTES, CUSTOM, GROUPS, MEMBER
from engage_etl.vocabulary.outcomes import Outcome

_is_restored = past_value.c.result == Result.RESTORED.value


def write_restored(connection: Connection, undoing: Undoing, revert_id: str) -> dict[str, int]:
    """Write all that is restored, with its history; returns how many contacts get which field back."""
    writing_row.create(connection, checkfirst=False)
    names = [column.name for column in writing_row.columns]
    for rows in (_updates(revert_id), _whole_contacts(undoing.names, revert_id)):
        connection.execute(insert(writing_row).from_select(names, rows))
    analyze(connection, writing_row)
    fields = _restored_fields(connection)
    # First what goes: it makes room for addresses that others take back.
    remove_members(connection, revert_id, undoing.group_id)
    _remove_contacts(connection)
    vacate_addresses(connection)
    update_contacts(connection, frozenset(fields))
    _create_contacts_anew(connection)
    add_members(connection, undoing.group_id)
    _date_back_memberships(connection, undoing)
    update_members(connection, undoing.group_id)
    write_history(connection)
    return fields


def record_details(connection: Connection, revert_id: str) -> None:
    """Keep the changes that were not taken back."""
    names = ["contact_id", "field", "row", "result", "before", "given", "now", "message"]
    left = select(literal(revert_id), *(past_value.c[name] for name in names)).where(~_is_restored)
    connection.execute(insert(revert_detail).from_select(["import_id", *names], left))


def _restored_fields(connection: Connection) -> dict[str, int]:
    row = past_value.c
    query = select(row.field, func.count()).where(_is_restored, row.field != WHOLE).group_by(row.field)
    return dict(connection.execute(query).tuples().all())


def _updates(revert_id: str) -> Select[Any]:
    """Contacts that get fields, attributes or memberships back, as rows of a plan."""
    row = past_value.c
    released = select(taken_back.c.holder_id).where(~taken_back.c.is_kept)
    value = func.coalesce(row.before, NULL)
    changes = func.jsonb_object_agg(row.field, func.jsonb_build_array(row.now, row.before), type_=JSONB)
    return (
        _as_plan(
            import_id=literal(revert_id),
            row=func.min(row.row),
            outcome=literal(Outcome.UPDATED.value),
            contact_id=row.contact_id,
            contact_version=contact.c.version,
            changes=changes,
            custom=func.jsonb_object_agg(row.name_key, value, type_=JSONB).filter(row.field.startswith(CUSTOM)),
            member=func.jsonb_object_agg(row.name_key, value, type_=JSONB).filter(row.field.startswith(MEMBER)),
            email_key=func.max(row.address_key).filter(row.field == "email"),
            mobile_key=func.max(row.address_key).filter(row.field == "mobile_number"),
            is_vacated=row.contact_id.in_(released),
        )
        .join_from(past_value, contact, contact.c.contact_id == row.contact_id)
        .where(_is_restored, row.field != WHOLE)
        .group_by(row.contact_id, contact.c.contact_id)
    )


def _whole_contacts(names: Names, revert_id: str) -> Select[Any]:
    """Contacts that go, or come back, as rows of a plan: the history of what made or removed them, turned round."""
    change = past_change.c
    before = {field: change.changes[(field, 0)].astext for field in ("email", "mobile_number")}
    is_removal = change.outcome == Outcome.CREATED.value
    return (
        _as_plan(
            import_id=literal(revert_id),
            row=change.row,
            outcome=case((is_removal, REMOVED), else_=Outcome.CREATED.value),
            contact_id=change.contact_id,
            contact_version=func.coalesce(contact.c.version, change.version),
            changes=turned_round(change.changes),
            custom=given_values(names, change.changes, CUSTOM, 0),
            member=given_values(names, change.changes, MEMBER, 0),
            email_key=address_form("email", before["email"]),
            mobile_key=address_form("mobile_number", before["mobile_number"]),
            is_vacated=false(),
        )
        .join_from(past_change, past_value, past_value.c.contact_id == change.contact_id)
        .outerjoin(contact, contact.c.contact_id == change.contact_id)
        .where(_is_restored, past_value.c.field == WHOLE)
    )


def _as_plan(**values: ColumnElement[Any]) -> Select[Any]:
    """The columns of ``writing_row`` in their order, null where no value is given."""
    return select(
        *(cast(values.get(column.name, null()), column.type).label(column.name) for column in writing_row.columns)
    )


def _remove_contacts(connection: Connection) -> None:
    removed = select(writing_row.c.contact_id).where(writing_row.c.outcome == REMOVED)
    connection.execute(delete(contact).where(contact.c.contact_id.in_(removed)))


def _create_contacts_anew(connection: Connection) -> None:
    """Contacts that were removed come back with the id, and as old, as they were; their versions go on."""
    row = writing_row.c
    first = contact_change.alias("first_change")
    created_at = select(func.min(first.c.changed_at)).where(
        first.c.contact_id == row.contact_id, first.c.outcome == Outcome.CREATED.value
    )
    standard = [attribute.field for attribute in ATTRIBUTES]
    columns = ["contact_id", *standard, "email_key", "mobile_key", "custom", "version", "created_at"]
    created = select(
        row.contact_id,
        *(typed_after(attribute) for attribute in ATTRIBUTES),
        row.email_key,
        row.mobile_key,
        overlaid(EMPTY, row.custom),
        row.contact_version + 1,
        func.coalesce(created_at.scalar_subquery(), func.now()),
    ).where(row.outcome == Outcome.CREATED.value)
    connection.execute(insert(contact).from_select(columns, created))


def _date_back_memberships(connection: Connection, undoing: Undoing) -> None:
    """Memberships that come back are as old as they were, and whoever had unsubscribed has so again (R21)."""
    row, ended = writing_row.c, ended_membership.c
    connection.execute(
        update(membership)
        .where(
            membership.c.group_id == undoing.group_id,
            membership.c.contact_id == row.contact_id,
            row.changes[(GROUPS, 1)].astext.is_not(None),
            ended.import_id == undoing.import_id,
            ended.contact_id == row.contact_id,
        )
        .values(joined_at=ended.joined_at, unsubscribed_at=ended.unsubscribed_at)
    )
