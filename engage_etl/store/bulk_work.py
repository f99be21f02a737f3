"""How PostgreSQL is told that a transaction works on many rows at once."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

_JOINS_KEEP_TO = "4"
"""``random_page_cost``: at 1.1, which many servers have, a million rows are looked up in an index one by one, in three
times the time of a join. Files of a few thousand rows are looked up all the same."""


def prepare_bulk_work(connection: Connection) -> None:
    """Have the statements of this transaction join whole tables, unless they are about a few rows."""
    connection.execute(select(func.set_config("random_page_cost", _JOINS_KEEP_TO, True)))
