"""Look at contacts: one by one with their history, or all of them in a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Text, cast, false, select

from engage_etl.store.approvals import approvals
from engage_etl.store.custom_attributes import Scope, known_attributes
from engage_etl.store.tables import KEY_COLUMNS, contact, contact_change, contact_group, import_register, membership
from engage_etl.vocabulary.attributes import ADDRESSES, ATTRIBUTES, IDENTIFIER, custom_header, member_header
from engage_etl.vocabulary.comparison import comparison_form

_LARGEST_ID = 2**63 - 1
_ROWS_AT_A_TIME = 5_000


def by_address(field: str, value: str) -> ColumnElement[bool]:
    """The contact that holds an address, compared as R13 says."""
    address = next(address for address in ADDRESSES if address.field == field)
    return contact.c[KEY_COLUMNS[field]] == comparison_form(address.kind, value)


def by_identifier(value: str) -> ColumnElement[bool]:
    """The contacts with this external identifier, compared exactly (R4); there may be several."""
    return contact.c[IDENTIFIER] == value


def by_id(contact_id: int) -> ColumnElement[bool]:
    """The contact with this id; an id beyond what the column holds finds nobody."""
    return contact.c.contact_id == contact_id if is_id(contact_id) else false()


def is_id(number: int) -> bool:
    """Whether a number can be the id of a contact."""
    return abs(number) <= _LARGEST_ID


def find_contacts(connection: Connection, condition: ColumnElement[bool], *, history: bool) -> list[dict[str, Any]]:
    """The contacts that meet a condition, by id, as objects of the public interface.

    history: with all changes of each, oldest first (R37).
    """
    names = {key: attribute.name for key, attribute in known_attributes(connection).items()}
    found = connection.execute(select(contact).where(condition).order_by(contact.c.contact_id)).mappings().all()
    return [_as_object(connection, dict(row), names, history=history) for row in found]


def export_header(connection: Connection, group_id: int | None) -> list[str]:
    """The columns of an export: headers as R16 spells them, then custom attributes, then those of a group's members."""
    custom = [custom_header(attribute.name) for _, attribute in sorted(known_attributes(connection).items())]
    member = [member_header(name) for _, name in _member_names(connection, group_id)]
    return [*(attribute.header for attribute in ATTRIBUTES), *custom, *member]


def _member_names(connection: Connection, group_id: int | None) -> list[tuple[str, str]]:
    """Keys and names of the attributes that members can have, by key; none without a group."""
    if group_id is None:
        return []
    known = known_attributes(connection, Scope.MEMBER)
    return [(key, attribute.name) for key, attribute in sorted(known.items())]


def export_rows(connection: Connection, group_id: int | None) -> Iterator[list[tuple[Any, ...]]]:
    """The cells of all contacts, or of the members of a group, by id, in blocks; the store streams them."""
    stream = connection.execution_options(yield_per=_ROWS_AT_A_TIME).execute(_export_query(connection, group_id))
    for block in stream.partitions():
        yield [tuple(cells) for cells in block]


def _export_query(connection: Connection, group_id: int | None) -> Select[Any]:
    custom = [contact.c.custom.op("->>")(key) for key in sorted(known_attributes(connection))]
    member = [membership.c.attributes.op("->>")(key) for key, _ in _member_names(connection, group_id)]
    standard = [cast(contact.c[attribute.field], Text) for attribute in ATTRIBUTES]
    columns: list[ColumnElement[Any]] = [*standard, *custom, *member]
    query: Select[Any] = select(*columns)
    if group_id is not None:
        query = query.join(membership, membership.c.contact_id == contact.c.contact_id)
        query = query.where(membership.c.group_id == group_id)
    return query.order_by(contact.c.contact_id)


def _as_object(connection: Connection, row: dict[str, Any], names: dict[str, str], *, history: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {"contact_id": row["contact_id"]}
    shown |= {attribute.field: row[attribute.field] for attribute in ATTRIBUTES}
    shown["custom"] = {names.get(key, key): value for key, value in sorted(row["custom"].items())}
    shown["memberships"] = _memberships(connection, row["contact_id"])
    shown["groups"] = [found["group"] for found in shown["memberships"]]
    shown["version"] = row["version"]
    shown |= {name: row[name].isoformat() for name in ("created_at", "updated_at")}
    shown["deactivated_at"] = row["deactivated_at"] and row["deactivated_at"].isoformat()
    if history:
        shown["history"] = _history(connection, row["contact_id"])
    return shown


def _memberships(connection: Connection, contact_id: int) -> list[dict[str, Any]]:
    """The groups of a contact by name, with the attributes that it has as a member (R20)."""
    names = {key: attribute.name for key, attribute in known_attributes(connection, Scope.MEMBER).items()}
    query = (
        select(contact_group.c.name, membership.c.attributes, membership.c.unsubscribed_at)
        .join(membership, membership.c.group_id == contact_group.c.group_id)
        .where(membership.c.contact_id == contact_id)
        .order_by(contact_group.c.name)
    )
    return [
        {
            "group": name,
            "attributes": {names.get(key, key): value for key, value in sorted(attributes.items())},
            "unsubscribed_at": unsubscribed_at and unsubscribed_at.isoformat(),
        }
        for name, attributes, unsubscribed_at in connection.execute(query).tuples()
    ]


def _history(connection: Connection, contact_id: int) -> list[dict[str, Any]]:
    """Every change of a contact, oldest first, with the import that made it, and who approved that (R37)."""
    columns, made_by = contact_change.c, import_register.c
    query = (
        select(columns.import_id, columns.row, columns.changed_at.label("at"), columns.changes, columns.outcome)
        .add_columns(made_by.file, made_by.automation, made_by.group_name.label("group"))
        .add_columns(made_by.started_by, made_by.reverts, made_by.reverted_by)
        .outerjoin(import_register, made_by.import_id == columns.import_id)
        .where(columns.contact_id == contact_id)
        .order_by(columns.version, columns.change_id)
    )
    changes = connection.execute(query).mappings().all()
    approved = approvals(connection, sorted({change["import_id"] for change in changes}))
    return [
        {
            **change,
            "at": change["at"].isoformat(),
            "approved_by": approved[change["import_id"]].approved_by if change["import_id"] in approved else None,
        }
        for change in changes
    ]
