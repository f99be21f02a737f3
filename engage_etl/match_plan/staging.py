"""Stage files into working tables, by COPY: over one connection, or the valid rows of a large file over several.

A temporary table belongs to one connection. What several fill is a table of the import that is committed before the plan
takes its snapshot; the plan sees it as the working table of the same name, and it goes with the plan (decision 0027).
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
from sqlalchemy import Connection, Table

from engage_etl.cores import cores_at_hand
from engage_etl.match_plan.working_tables import staged_rejection, staged_row
from engage_etl.store.copying import copy_into
from engage_etl.store.engine import Store
from engage_etl.store.loading_tables import PATIENTLY, drop_abandoned, drop_loaded, loading_table
from engage_etl.store.statistics import analyze
from engage_etl.validated_rows.stage_files import read_batches, rejected_file, row_groups, valid_file

# Nulls stand unquoted and texts quoted, so that a lacking value and a blank one stay apart (R18).
_CSV = pyarrow.csv.WriteOptions(include_header=False, quoting_style="all_valid")
_ROWS_AT_A_TIME = 20_000


@contextmanager
def valid_rows_loaded(store: Store, import_id: str) -> Iterator[Table | None]:
    """The valid rows of a large file in a table of their own, loaded over several connections, which goes at the end.

    None: the plan loads them, since the file is not large (``ENGAGE_RANGES_FROM`` bytes of rows, as Parquet encodes them), or
    another program reads what a killed process has left of this very import. The lock of the import is held.
    """
    file = valid_file(store.import_dir(import_id))
    store.kept.fetched(file)
    groups = row_groups(file)
    connections = min(cores_at_hand(), len(groups))
    if connections < 2 or sum(groups) < store.settings.ranges_from:
        yield None
        return
    drop_abandoned(store)
    if not drop_loaded(store, import_id, PATIENTLY):
        yield None
        return
    with loading_table(store, import_id, staged_row) as table:
        _load_over(store, [range(first, len(groups), connections) for first in range(connections)], file, table)
        with store.engine.begin() as connection:
            analyze(connection, table)
        yield table


def load_stage_files(connection: Connection, folder: Path, *, with_valid_rows: bool) -> None:
    """Copy the rejected rows of the import in ``folder`` into ``staged_rejection``, and the valid ones into ``staged_row``."""
    if with_valid_rows:
        _load(connection, valid_file(folder), staged_row)
    _load(connection, rejected_file(folder), staged_rejection)


def _load(connection: Connection, file: Path, table: Table) -> None:
    copy_into(connection, table, _csv_blocks(file, table))
    analyze(connection, table)


def _load_over(store: Store, shares: list[range], file: Path, table: Table) -> None:
    """Copy a file over as many connections as there are shares of its row groups; an error of one is raised."""
    is_over = threading.Event()

    def load(groups: range) -> None:
        try:
            with store.engine.begin() as connection:
                # Once one has failed the others need not go on: the table goes, with whatever it holds.
                blocks = takewhile(lambda block: not is_over.is_set(), _csv_blocks(file, table, groups))
                copy_into(connection, table, blocks)
        except BaseException:
            is_over.set()
            raise

    with ThreadPoolExecutor(len(shares)) as threads:
        loads = [threads.submit(load, groups) for groups in shares]
        try:
            for ended in loads:
                ended.result()
        finally:
            is_over.set()


def _csv_blocks(file: Path, table: Table, groups: range | None = None) -> Iterator[bytes]:
    names = [column.name for column in table.columns]
    for batch in read_batches(file, _ROWS_AT_A_TIME, names, groups):
        block = io.BytesIO()
        pyarrow.csv.write_csv(pa.Table.from_batches([batch]).select(names), block, _CSV)
        yield block.getvalue()
