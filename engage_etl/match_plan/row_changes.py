"""What each decided row would change in its contact and membership, worked out in one pass over the store (R19, R33)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    Select,
    and_,
    case,
    cast,
    func,
    insert,
    null,
    select,
    true,
)

from engage_etl.match_plan.changes import (
    FreeAttributes,
    as_object,
    free_changes,
    identifier_change,
    is_changed,
    joined_members,
    joining,
    leaving,
    no_free_changes,
    profile_changes,
)
from engage_etl.match_plan.messages import sentence
from engage_etl.match_plan.near_misses import near_miss_hint
from engage_etl.match_plan.working_tables import decision, near_miss, row_change, staged_row
from engage_etl.store.statistics import analyze
from engage_etl.store.tables import KEY_COLUMNS, contact, membership
from engage_etl.vocabulary.attributes import ADDRESSES, Attribute
from engage_etl.vocabulary.options import ImportOptions


@dataclass(frozen=True)
class RowChanges:
    """What the changes of rows depend on. file: name for messages; fields: that the file has."""

    file: str
    options: ImportOptions
    fields: Collection[str]
    group_id: int
    group_name: str
    custom: FreeAttributes
    member: FreeAttributes


def work_out_changes(connection: Connection, given: RowChanges) -> None:
    """Fill ``row_change`` with the rows that nothing keeps from writing; who may have which address is not asked yet."""
    connection.execute(insert(row_change).from_select([column.name for column in row_change.columns], _changes(given)))
    analyze(connection, row_change)


def _changes(given: RowChanges) -> Select[Any]:
    custom, member = (_free_changes(given, attributes) for attributes in (given.custom, given.member))
    hint = near_miss_hint(staged_row.c.identifier)
    hint = case((hint.is_not(None), sentence(given.file, staged_row.c.row, hint)))
    is_member = and_(membership.c.contact_id == contact.c.contact_id, membership.c.group_id == given.group_id)
    return (
        select(
            staged_row.c.row,
            contact.c.contact_id,
            cast(contact.c.version, Integer),
            func.nullif(func.concat_ws(" ", staged_row.c.warning, hint), ""),
            _all_changes(given, custom, member),
            case((_writes_profile(given), custom.c["values"])),
            member.c["values"],
            *(_taken(given, address) for address in ADDRESSES),
        )
        .join_from(staged_row, decision, decision.c.row == staged_row.c.row)
        .outerjoin(contact, contact.c.contact_id == decision.c.contact_id)
        .outerjoin(membership, is_member)
        .outerjoin(near_miss, near_miss.c.row == staged_row.c.row)
        .join(custom, true())
        .join(member, true())
        .where(decision.c.reason.is_(None))
    )


def _free_changes(given: RowChanges, attributes: FreeAttributes) -> FromClause:
    is_in_file = any(field.startswith(attributes.prefix) for field in given.fields)
    if not is_in_file or given.options.mode_rules.is_leaving:
        return no_free_changes(attributes.prefix)
    return free_changes(attributes, given.options.update_rules)


def _all_changes(given: RowChanges, custom: FromClause, member: FromClause) -> ColumnElement[Any]:
    """What a row changes, as the import mode lets it (R20)."""
    mode = given.options.mode_rules
    if mode.is_leaving:
        return leaving(given.group_name, given.member.names)
    profile = joined_members(profile_changes(given.options.update_rules, given.fields), custom.c.changes)
    if not mode.writes_profiles:
        profile = case((decision.c.contact_id.is_(None), profile), (decision.c.is_linked, identifier_change()))
    members = [profile, member.c.changes]
    if mode.takes_contacts:
        members.append(case((membership.c.contact_id.is_(None), joining(given.group_name))))
    return as_object(joined_members(*members))


def _taken(given: RowChanges, address: Attribute) -> ColumnElement[Any]:
    """The comparison form of an address that the row gives its contact, which does not hold it yet (R11)."""
    key = KEY_COLUMNS[address.field]
    if address.field not in given.fields or given.options.mode_rules.is_leaving:
        return cast(null(), row_change.c[key].type)
    new = func.nullif(staged_row.c[key], "")
    differs = contact.c[key].is_distinct_from(new)
    return case((and_(_writes_profile(given), is_changed(address, given.options.update_rules), differs), new))


def _writes_profile(given: RowChanges) -> ColumnElement[bool]:
    """Whether a row writes more than a membership: it creates, or the mode updates contacts (R20)."""
    return true() if given.options.mode_rules.writes_profiles else decision.c.contact_id.is_(None)
