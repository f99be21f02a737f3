"""Rows whose identifier is new and whose address a contact without identifier holds (R12, ``link-unidentified``)."""

from __future__ import annotations

from sqlalchemy import Connection, func, select, true, union_all, update

from engage_etl.match_plan.working_tables import decision, staged_row
from engage_etl.store.tables import KEY_COLUMNS, contact


def link_unidentified(connection: Connection) -> None:
    """Give new rows the contact without identifier that holds their address, where it is one contact and one row.

    Where several such contacts hold the addresses of a row, or several rows mean one contact, nobody can say who is
    meant: these rows stay new, and R11 judges them.
    """
    held = union_all(
        *(
            select(staged_row.c.row, contact.c.contact_id)
            .join_from(staged_row, decision, decision.c.row == staged_row.c.row)
            .join(contact, contact.c[key] == staged_row.c[key])
            .where(decision.c.reason.is_(None), decision.c.contact_id.is_(None), contact.c.identifier.is_(None))
            for key in KEY_COLUMNS.values()
        )
    ).subquery("held")
    of_row = (
        select(held.c.row, func.min(held.c.contact_id).label("contact_id"))
        .group_by(held.c.row)
        .having(func.min(held.c.contact_id) == func.max(held.c.contact_id))
        .subquery("of_row")
    )
    rows_of_contact = select(held.c.contact_id).group_by(held.c.contact_id)
    wanted_once = rows_of_contact.having(func.min(held.c.row) == func.max(held.c.row))
    connection.execute(
        update(decision)
        .where(decision.c.row == of_row.c.row, of_row.c.contact_id.in_(wanted_once))
        .values(contact_id=of_row.c.contact_id, is_linked=true())
    )
