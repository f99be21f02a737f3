"""Whose address it is after the import: R11, to its fixed point (step 4 of the reasons).

The rounds of R11 come down to one pass and a recursion. Rows that take the same address are all rejected in the
first round, so that from the second round on no two rows claim one address; and a row is rejected in a later round
only because the row that would have released its address was rejected in the round before. So: judge all rows once,
then follow the releasing rows.
"""

from __future__ import annotations

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from engage_etl.match_plan.messages import masked, sentence
from engage_etl.match_plan.working_tables import address_rejection, row_change, taken_address
from engage_etl.store.statistics import analyze
from engage_etl.store.tables import KEY_COLUMNS, contact
from engage_etl.vocabulary.attributes import ADDRESSES
from engage_etl.vocabulary.choices import UpdateRule
from engage_etl.vocabulary.options import ImportOptions
from engage_etl.vocabulary.outcomes import Reason


def reject_address_conflicts(connection: Connection, file: str, options: ImportOptions) -> None:
    """Fill ``address_rejection``: the rows that R11 rejects among those that would create or update."""
    rules = options.update_rules
    if any(rules.rule(address.field) is UpdateRule.ALWAYS for address in ADDRESSES):
        _reject_lost_addresses(connection, file)
    for address in ADDRESSES:
        _insert_taken_addresses(connection, address.field)
    analyze(connection, taken_address)
    for address in ADDRESSES:
        _note_releasing_rows(connection, address.field)
    for rejected in (_first_round(file), _later_rounds(file)):
        connection.execute(insert(address_rejection).from_select(["row", "reason", "message"], rejected))
    analyze(connection, address_rejection)


def _reject_lost_addresses(connection: Connection, file: str) -> None:
    """Rows that would clear the last address of their contact; decided first, so that they release nothing (R19)."""
    after = [
        case((_is_changed(address.field), _after(address.field)), else_=contact.c[address.field])
        for address in ADDRESSES
    ]
    message = sentence(
        file,
        row_change.c.row,
        "the blank addresses of the row would leave contact ",
        contact.c.contact_id,
        " without any, since the update rule is always; give it one, or use another rule.",
    )
    lost = (
        select(row_change.c.row, literal(Reason.ADDRESS_REQUIRED.value), message)
        .join(contact, contact.c.contact_id == row_change.c.contact_id)
        .where(
            or_(*(and_(_is_changed(address.field), _after(address.field).is_(None)) for address in ADDRESSES)),
            func.coalesce(*after).is_(None),
        )
    )
    connection.execute(insert(address_rejection).from_select(["row", "reason", "message"], lost))
    connection.execute(delete(row_change).where(row_change.c.row.in_(select(address_rejection.c.row))))


def _insert_taken_addresses(connection: Connection, field: str) -> None:
    """The addresses of one kind that rows take and that may not be theirs, each with who holds it."""
    key, holder, wanted = row_change.c[KEY_COLUMNS[field]], contact.alias("holder"), row_change.alias("wanted")
    wanted_key = wanted.c[KEY_COLUMNS[field]]
    repeated = (
        select(wanted_key.label("key"))
        .where(wanted_key.is_not(None))
        .group_by(wanted_key)
        .having(func.count() > 1)
        .subquery("repeated")
    )
    taken = (
        select(
            row_change.c.row,
            literal(field),
            key,
            _after(field),
            holder.c.contact_id,
            holder.c.identifier.is_not(None),
        )
        .outerjoin_from(row_change, holder, holder.c[KEY_COLUMNS[field]] == key)
        .outerjoin(repeated, repeated.c.key == key)
        .where(key.is_not(None), or_(holder.c.contact_id.is_not(None), repeated.c.key.is_not(None)))
    )
    columns = ["row", "kind", "key", "value", "holder_id", "holder_has_identifier"]
    connection.execute(insert(taken_address).from_select(columns, taken))


def _note_releasing_rows(connection: Connection, field: str) -> None:
    """Which row gives the holder of a taken address another address of this kind than it holds, or none."""
    is_released = and_(
        _is_changed(field),
        row_change.c.changes[(field, 0)].astext.is_not(None),
        or_(row_change.c[KEY_COLUMNS[field]].is_not(None), _after(field).is_(None)),
    )
    connection.execute(
        update(taken_address)
        .where(taken_address.c.kind == field, row_change.c.contact_id == taken_address.c.holder_id, is_released)
        .values(releasing_row=row_change.c.row)
    )


def _is_changed(field: str) -> ColumnElement[bool]:
    is_changed: ColumnElement[bool] = row_change.c.changes.has_key(field)
    return is_changed


def _after(field: str) -> ColumnElement[str]:
    after: ColumnElement[str] = row_change.c.changes[(field, 1)].astext
    return after


def _first_round(file: str) -> Select[tuple[int, str, str]]:
    """Rows that take an address which its holder keeps, or which another row takes too."""
    claim = _claims()
    is_claimed_twice = claim.c.first_row != claim.c.last_row
    fault = case((claim.c.is_kept, _kept_fault(claim)), else_=_claimed_twice_fault(claim))
    reason = case(
        (func.bool_or(claim.c.is_kept), Reason.ADDRESS_IN_USE.value), else_=Reason.ADDRESS_CLAIMED_TWICE.value
    )
    faults = func.string_agg(fault, aggregate_order_by(literal("; "), claim.c.is_kept.desc(), claim.c.kind))
    advice = ". Correct the address, or the contact or row that has it, and import the row again."
    return (
        select(claim.c.row, reason, sentence(file, claim.c.row, faults, advice))
        .where(or_(claim.c.is_kept, is_claimed_twice))
        .group_by(claim.c.row)
    )


def _later_rounds(file: str) -> Select[tuple[int, str, str]]:
    """Rows that take an address whose holder keeps it because the row that would have released it is rejected."""
    rejected = select(address_rejection.c.row).cte("rejected_so_far", recursive=True)
    rejected = rejected.union(
        select(taken_address.c.row).join(rejected, taken_address.c.releasing_row == rejected.c.row)
    )
    fault = func.concat(
        _named(taken_address),
        " stays with contact ",
        taken_address.c.holder_id,
        ", since row ",
        taken_address.c.releasing_row,
        " is rejected",
    )
    faults = func.string_agg(fault, aggregate_order_by(literal("; "), taken_address.c.kind))
    advice = ". Correct that row and import both again."
    decided_before = select(address_rejection.c.row).where(address_rejection.c.row == taken_address.c.row)
    return (
        select(
            taken_address.c.row,
            literal(Reason.ADDRESS_IN_USE.value),
            sentence(file, taken_address.c.row, faults, advice),
        )
        .join(rejected, taken_address.c.releasing_row == rejected.c.row)
        .where(~decided_before.exists())
        .group_by(taken_address.c.row)
    )


def _claims() -> FromClause:
    """The taken addresses, each with the first and the last row that takes it, and whether its holder keeps it."""
    address = [taken_address.c.kind, taken_address.c.key]
    return select(
        *taken_address.c,
        and_(taken_address.c.holder_id.is_not(None), taken_address.c.releasing_row.is_(None)).label("is_kept"),
        func.min(taken_address.c.row).over(partition_by=address).label("first_row"),
        func.max(taken_address.c.row).over(partition_by=address).label("last_row"),
    ).subquery("claim")


def _kept_fault(claim: FromClause) -> ColumnElement[str]:
    no_identifier = case((claim.c.holder_has_identifier, ""), else_=", which has no external identifier")
    return func.concat(_named(claim), " belongs to contact ", claim.c.holder_id, no_identifier)


def _claimed_twice_fault(claim: FromClause) -> ColumnElement[str]:
    other = case((claim.c.row == claim.c.last_row, claim.c.first_row), else_=claim.c.last_row)
    return func.concat(_named(claim), " is also taken by row ", other)


def _named(taken: FromClause) -> ColumnElement[str]:
    """Header and masked value of an address, as in ``user.Email a…@….com``."""
    header = case({address.field: address.header for address in ADDRESSES}, value=taken.c.kind)
    return func.concat(header, " ", masked(taken.c.value))
