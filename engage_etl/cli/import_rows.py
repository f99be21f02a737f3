"""``engage-etl imports rows``: what became of each row, in a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import BigInteger, Connection, Select, Text, cast, func, literal, null, select, union_all
from sqlalchemy.dialects.postgresql import JSONB

from engage_etl.store.tables import contact_change, plan_row, revert_detail

_ROWS_AT_A_TIME = 2_000


def planned_rows(connection: Connection, import_id: str, outcome: str | None) -> Iterator[dict[str, Any]]:
    """What became of each row of a file, in row order. outcome: of the rows that are wanted, None for all."""
    columns = plan_row.c
    query = select(columns.row, columns.outcome, columns.reason, columns.message, columns.contact_id, columns.changes)
    query = query.where(columns.import_id == import_id).order_by(columns.row)
    if outcome is not None:
        query = query.where(columns.outcome == outcome)
    return _objects(connection, query)


def reverted_rows(connection: Connection, import_id: str, outcome: str | None) -> Iterator[dict[str, Any]]:
    """What a revert did, in the same form, in the order of the rows of the import that it undid (R36).

    What was taken back has the outcome that history has: updated, removed, created. What was not is ``kept`` or
    ``failed``, with the sentence that says why; nothing of it was changed.
    """
    done, left = contact_change.c, revert_detail.c
    nothing = cast(null(), Text)
    taken_back = select(
        done.row, done.outcome, nothing.label("reason"), nothing.label("message"), done.contact_id, done.changes
    ).where(done.import_id == import_id)
    not_taken_back = select(
        left.row, left.result, nothing, left.message, left.contact_id, cast(literal("{}"), JSONB)
    ).where(left.import_id == import_id)
    both = union_all(taken_back, not_taken_back).subquery()
    query = select(both).order_by(func.coalesce(both.c.row, literal(-1, BigInteger)), both.c.contact_id)
    if outcome is not None:
        query = query.where(both.c.outcome == outcome)
    return _objects(connection, query)


def _objects(connection: Connection, query: Select[Any]) -> Iterator[dict[str, Any]]:
    for row in connection.execution_options(yield_per=_ROWS_AT_A_TIME).execute(query):
        yield dict(row._mapping) | {"changes": row.changes or {}}
