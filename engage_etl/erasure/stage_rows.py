"""The stage files of an import without one person: their rows stay, with their numbers, and say nothing any more."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engage_etl.erasure.person import Person
from engage_etl.validated_rows.stage_files import REJECTED_SCHEMA, VALID_SCHEMA, rejected_file, valid_file
from engage_etl.vocabulary.attributes import IDENTIFIER

ERASED_ROW = "The row was about a person who has been erased."
"""The message of a row of which nothing else is left."""

_KEY_COLUMNS = {IDENTIFIER: IDENTIFIER, "email": "email_key", "mobile_number": "mobile_key", "app_alias": "app_alias"}
_COMPRESSION = "lz4"
_ROWS = 20_000
Row = dict[str, Any]


def find_stage_rows(folder: Path, person: Person) -> set[int]:
    """The numbers of the rows that are the person's by what they are matched on, or by an identifier or address in them."""
    found: set[int] = set()
    if valid_file(folder).exists():
        found |= _valid_rows(valid_file(folder), person)
    if rejected_file(folder).exists():
        names = ["row", "match_kind", "match_key", "message"]
        found |= _rows_where(rejected_file(folder), names, lambda row: _is_rejected_theirs(row, person))
    return found


def erase_stage_rows(folder: Path, rows: Collection[int], *, dry_run: bool) -> int:
    """Blank these rows in both stage files, each written aside and put in place; returns how many there were.

    A valid row without a key matches nobody and creates nobody, should its import ever be planned again.
    """
    erased = 0
    for file, schema, blank in (
        (valid_file(folder), VALID_SCHEMA, _blank_valid),
        (rejected_file(folder), REJECTED_SCHEMA, _blank_rejected),
    ):
        number = len(_rows_where(file, ["row"], lambda row: row["row"] in rows)) if rows and file.exists() else 0
        if number and not dry_run:
            _rewrite(file, schema, rows, blank)
        erased += number
    if not dry_run:
        # What a validation that was killed has left may name anybody; the import's lock is held, so that none is at work.
        for left in folder.glob("*.part"):
            left.unlink(missing_ok=True)
    return erased


def _rows_where(file: Path, names: list[str], is_wanted: Callable[[Row], bool]) -> set[int]:
    found: set[int] = set()
    with pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(_ROWS, columns=names):
            found |= {row["row"] for row in batch.to_pylist() if is_wanted(row)}
    return found


def _valid_rows(file: Path, person: Person) -> set[int]:
    """Numbers of valid rows that are matched on, or have, an identifier or address of the person; column by column."""
    keys = {field: pa.array(sorted(found), pa.string()) for field, found in person.keys.items()}
    found: set[int] = set()
    with pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(_ROWS, columns=["row", "match_kind", "match_key", *_KEY_COLUMNS.values()]):
            for field, theirs in keys.items():
                is_matched = pc.and_(pc.equal(batch["match_kind"], field), pc.is_in(batch["match_key"], theirs))
                is_wanted = pc.or_(is_matched, pc.is_in(batch[_KEY_COLUMNS[field]], theirs))
                found |= set(batch["row"].filter(is_wanted).to_pylist())
    return found


def _is_rejected_theirs(row: Row, person: Person) -> bool:
    is_named = person.without(row["message"]) != row["message"]
    return person.is_known_as(row["match_kind"], row["match_key"]) or is_named


def _rewrite(file: Path, schema: pa.Schema, rows: Collection[int], blank: Callable[[Row], Row]) -> None:
    aside = file.with_name(file.name + ".part")
    try:
        aside.unlink(missing_ok=True)
        aside.touch(mode=0o600)
        with pq.ParquetFile(file) as parquet, pq.ParquetWriter(aside, schema, compression=_COMPRESSION) as writer:
            for batch in parquet.iter_batches(_ROWS):
                table = pa.Table.from_batches([batch])
                is_concerned = any(row in rows for row in table["row"].to_pylist())
                writer.write_table(_blanked(table, schema, rows, blank) if is_concerned else table.cast(schema))
        with aside.open("rb+") as written:
            os.fsync(written.fileno())
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)


def _blanked(table: pa.Table, schema: pa.Schema, rows: Collection[int], blank: Callable[[Row], Row]) -> pa.Table:
    return pa.Table.from_pylist([blank(row) if row["row"] in rows else row for row in table.to_pylist()], schema)


def _blank_valid(row: Row) -> Row:
    kept = {"row": row["row"], "match_kind": row["match_kind"], "match_key": ""}
    return dict.fromkeys(row) | kept


def _blank_rejected(row: Row) -> Row:
    kept = {"row": row["row"], "reason": row["reason"], "message": ERASED_ROW, "fields": row["fields"]}
    return dict.fromkeys(row) | kept
