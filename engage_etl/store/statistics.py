"""What PostgreSQL knows about a table when it decides how to join it."""

from __future__ import annotations

from sqlalchemy import DDL, Connection, Table


def analyze(connection: Connection, table: Table) -> None:
    """Gather statistics of a table that has just been filled, so that PostgreSQL joins in the right order."""
    connection.execute(DDL("ANALYZE %(fullname)s").against(table))
