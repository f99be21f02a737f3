"""What PostgreSQL knows about a table when it decides how to join it."""

from __future__ import annotations

from sqlalchemy import DDL, Connection, Table, func, select


def analyze(connection: Connection, table: Table) -> None:
    """Gather statistics of a table that has just been filled, so that PostgreSQL joins in the right order.

    Those of the store belong to somebody else, and a function of theirs does it; temporary ones are our own.
    """
    if table.schema is not None:
        connection.execute(select(getattr(func, table.schema).gather_statistics(table.name)))
    else:
        connection.execute(DDL("ANALYZE %(fullname)s").against(table))
