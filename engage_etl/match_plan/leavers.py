"""Members that the file lacks: they leave the group by the import mode ``replace`` (R20)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    CompoundSelect,
    Connection,
    Select,
    Table,
    and_,
    func,
    insert,
    literal,
    or_,
    select,
    union_all,
)

from engage_etl.match_plan.changes import leaving
from engage_etl.match_plan.matching import MATCHED_ON
from engage_etl.match_plan.working_tables import decision, staged_rejection, staged_row
from engage_etl.store.custom_attributes import Scope, known_attributes
from engage_etl.store.tables import contact, membership, plan_leaver
from engage_etl.vocabulary.options import ImportOptions


def plan_leavers(
    connection: Connection, import_id: str, group_id: int, group_name: str, options: ImportOptions
) -> None:
    """Fill ``plan_leaver``: members of the group that no row of the file matched, rejected rows included.

    Nobody leaves by a file without rows, or with a row whose key cannot be read: who was meant is not known then.
    """
    if who_stays_unknown(connection) is not None:
        return
    names = {key: attribute.name for key, attribute in known_attributes(connection, Scope.MEMBER).items()}
    present = _present().subquery("present")
    leaves = [~select(present).where(present.c.contact_id == membership.c.contact_id).exists()]
    if options.ignore_unsubscribed:
        leaves.append(membership.c.unsubscribed_at.is_(None))
    if options.ignore_deactivated:
        leaves.append(contact.c.deactivated_at.is_(None))
    leavers = (
        select(literal(import_id), contact.c.contact_id, leaving(group_name, names))
        .join_from(membership, contact, contact.c.contact_id == membership.c.contact_id)
        .where(membership.c.group_id == group_id, *leaves)
    )
    connection.execute(insert(plan_leaver).from_select(["import_id", "contact_id", "changes"], leavers))


def who_stays_unknown(connection: Connection) -> str | None:
    """Why ``replace`` takes nobody out of the group, or None if it may."""
    unreadable = select(func.count()).select_from(staged_rejection).where(staged_rejection.c.match_key.is_(None))
    rows = connection.scalar(unreadable) or 0
    if rows:
        return f"{rows:,} {'row has' if rows == 1 else 'rows have'} no key that can be read"
    is_empty = ~or_(select(staged_row).exists(), select(staged_rejection).exists())
    return "it has no rows" if connection.scalar(select(is_empty)) else None


def _present() -> CompoundSelect[Any]:
    """The contacts that rows match, by their keys or because they are linked; of an ambiguous identifier all (R8)."""
    return union_all(
        select(decision.c.contact_id).where(decision.c.contact_id.is_not(None)),
        *(_matching(rows, kind) for rows in (staged_row, staged_rejection) for kind in MATCHED_ON),
    )


def _matching(rows: Table, kind: str) -> Select[tuple[int]]:
    has_key = and_(MATCHED_ON[kind] == rows.c.match_key, rows.c.match_kind == kind)
    return select(contact.c.contact_id).join_from(contact, rows, has_key)
