"""Stage files into working tables, by COPY."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
from psycopg import sql
from sqlalchemy import Connection, Table

from engage_etl.match_plan.working_tables import staged_rejection, staged_row
from engage_etl.store.statistics import analyze
from engage_etl.validated_rows.stage_files import read_batches, rejected_file, valid_file

# Nulls stand unquoted and texts quoted, so that a lacking value and a blank one stay apart (R18).
_CSV = pyarrow.csv.WriteOptions(include_header=False, quoting_style="all_valid")
_ROWS_AT_A_TIME = 20_000


def load_stage_files(connection: Connection, folder: Path) -> None:
    """Copy the valid and the rejected rows of the import in ``folder`` into ``staged_row`` and ``staged_rejection``."""
    copy_parquet(connection, valid_file(folder), staged_row)
    copy_parquet(connection, rejected_file(folder), staged_rejection)


def copy_parquet(connection: Connection, file: Path, table: Table) -> None:
    """Copy the columns of a Parquet file that a table has into the table, in a stream."""
    names = [column.name for column in table.columns]
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(
        sql.Identifier(table.name), sql.SQL(", ").join(map(sql.Identifier, names))
    )
    driver_connection = connection.connection.driver_connection
    assert driver_connection is not None
    with driver_connection.cursor() as cursor, cursor.copy(statement) as copy:
        for block in _csv_blocks(file, names):
            copy.write(block)
    analyze(connection, table)


def _csv_blocks(file: Path, names: list[str]) -> Iterator[bytes]:
    for batch in read_batches(file, _ROWS_AT_A_TIME, names):
        block = io.BytesIO()
        pyarrow.csv.write_csv(pa.Table.from_batches([batch]).select(names), block, _CSV)
        yield block.getvalue()
