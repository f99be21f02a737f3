"""How PostgreSQL is told that a transaction works on many rows at once."""

from __future__ import annotations

from sqlalchemy import BigInteger, Connection, Text, cast, column, func, literal, select, table

_JOINS_KEEP_TO = "4"
"""``random_page_cost``: at less, a million rows are looked up in an index one by one, in three times the time of a join."""

_LEAST_MEMORY, _MOST_MEMORY = 64 * 1024, 512 * 1024
"""Kilobytes of ``work_mem``; between them a sixteenth of the server's buffers, which tell how large its machine is."""

_SETTINGS = table("pg_settings", column("name"), column("setting", Text), schema="pg_catalog")


def prepare_bulk_work(connection: Connection) -> None:
    """Have the statements of this transaction join whole tables, in memory; small files are still looked up."""
    pages = select(cast(_SETTINGS.c.setting, BigInteger)).where(_SETTINGS.c.name == "shared_buffers").scalar_subquery()
    memory = func.greatest(_LEAST_MEMORY, func.least(pages * 8 / 16, _MOST_MEMORY))
    connection.execute(
        select(
            func.set_config("random_page_cost", _JOINS_KEEP_TO, True),
            func.set_config("work_mem", func.concat(cast(memory, BigInteger), literal("kB")), True),
        )
    )
