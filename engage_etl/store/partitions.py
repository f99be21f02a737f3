"""The months in which plans and history lie, made ahead of their time (decision 0009)."""

from __future__ import annotations

import re

from sqlalchemy import Connection, Date, cast, func, select

from engage_etl.store.tables import SCHEMA, contact_change, plan_row

PARTITIONED = (plan_row, contact_change)
"""The tables that are partitioned by month."""

MONTHS_NEEDED = 1
"""Whoever opens the store finds the partitions of this month and of so many after it: no process lives longer."""

MONTHS_AHEAD = 3
"""How far ahead the job ``housekeeping`` makes them."""

_PARTITION = re.compile(rf"({'|'.join(table.name for table in PARTITIONED)})_\d{{4}}_\d{{2}}")


def is_partition(table: str | None) -> bool:
    """Whether a table is a month of a partitioned one, by its name: ``plan_row_2026_11``."""
    return table is not None and _PARTITION.fullmatch(table) is not None


def make_partitions(connection: Connection, months_ahead: int) -> list[str]:
    """Make the partitions that lack, for this month and so many after it; returns their names.

    The months are those of the server's clock in UTC, as the times and days in the tables are.
    """
    last = cast(func.current_date() + func.make_interval(0, months_ahead), Date)
    made = getattr(func, SCHEMA).make_partitions(func.current_date(), last)
    return list(connection.scalars(select(made)))
