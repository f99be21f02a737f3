"""Build the indexes of a table after it is filled, as full as they would be had they grown with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

_GROWN = 70
"""Per cent of a B-tree page that is full where keys came in no order (ln 2); one that is built at once has 90."""

_APART_FROM_CONSTRAINTS = """
SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid), m.amname = 'btree' AND c.reloptions IS NULL
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_am AS m ON m.oid = c.relam
WHERE i.indrelid = %s::regclass AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid)
"""


@contextmanager
def indexes_built_afterwards(connection: psycopg.Connection, table: str) -> Iterator[None]:
    """Fill a table without its indexes, in the caller's transaction; those of constraints stay.

    Two million keys in no order take three times as long one by one.
    """
    indexes = connection.execute(_APART_FROM_CONSTRAINTS, [table]).fetchall()
    for name, _, _ in indexes:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.SQL(name)))
    yield
    for name, definition, is_plain in indexes:
        if not is_plain:
            connection.execute(sql.SQL(definition))
            continue
        connection.execute(_with_room(definition))
        connection.execute(sql.SQL("ALTER INDEX {} RESET (fillfactor)").format(sql.SQL(name)))


def _with_room(definition: str) -> sql.Composed:
    columns, where, condition = definition.partition(" WHERE ")
    return sql.SQL("{} WITH (fillfactor = {}){}").format(sql.SQL(columns), _GROWN, sql.SQL(where + condition))
