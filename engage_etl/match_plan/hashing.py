"""What identifies a plan: a hash over its rows, its stage files and its options."""

from __future__ import annotations

import hashlib
import json

from sqlalchemy import Connection, LargeBinary, Text, cast, func, literal, select
from sqlalchemy.dialects.postgresql import aggregate_order_by

from engage_etl.store.tables import plan_leaver, plan_row
from engage_etl.vocabulary.options import WHETHER_APPLIED, ImportOptions

_ROWS_PER_BLOCK = 100


def plan_hash(connection: Connection, import_id: str, stage_hash: str, options: ImportOptions) -> str:
    """SHA-256, hexadecimal, over what the plan in ``plan_row`` does, the stage files and the options.

    The versions of contacts take no part, nor do options that only say whether the plan is applied: a plan that does
    the same is the same, and a dry run has the hash of the real one.
    """
    given = json.dumps([stage_hash, options.model_dump(mode="json", exclude=set(WHETHER_APPLIED))], sort_keys=True)
    digests = [_rows_digest(connection, import_id), _leavers_digest(connection, import_id)]
    return hashlib.sha256(b"".join([given.encode(), *(digest or b"" for digest in digests)])).hexdigest()


def _rows_digest(connection: Connection, import_id: str) -> bytes | None:
    """A digest over digests of blocks of rows, so that no value inside the store grows with the plan."""
    nothing = literal(b"", LargeBinary)
    columns = plan_row.c
    # Nulls are left out, and still no two rows make the same line: reasons are words, ids numbers, changes objects.
    line = func.concat_ws("|", columns.row, columns.outcome, columns.reason, columns.contact_id, columns.changes)
    lines = func.string_agg(line, aggregate_order_by(literal("\n"), columns.row))
    block = (
        select(
            (columns.row / _ROWS_PER_BLOCK).label("number"),
            func.sha256(func.convert_to(lines, "UTF8")).label("digest"),
        )
        .where(columns.import_id == import_id)
        .group_by("number")
        .subquery("block")
    )
    return connection.scalar(
        select(func.sha256(func.string_agg(block.c.digest, aggregate_order_by(nothing, block.c.number))))
    )


def _leavers_digest(connection: Connection, import_id: str) -> bytes | None:
    nothing, columns = literal(b"", LargeBinary), plan_leaver.c
    digest = func.sha256(func.convert_to(cast(func.row(columns.contact_id, columns.changes), Text), "UTF8"))
    whole = func.sha256(func.string_agg(digest, aggregate_order_by(nothing, columns.contact_id)))
    return connection.scalar(select(whole).where(columns.import_id == import_id))
