"""dlt: merge with the strategy ``upsert``, the file read by pyarrow and loaded by COPY, which is its fastest way.

python -m benchmarks.peers.dlt_upsert FILE FOLDER, on the database that PGHOST, PGUSER and PGDATABASE name; FOLDER is
where dlt keeps its working files
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}

import dlt
import pyarrow as pa
import pyarrow.csv

from benchmarks.peers import DLT_SCHEMA
from benchmarks.peers.rows import HEADERS


def read_tables(file: Path) -> Iterator[pa.Table]:
    """The rows of a CSV file as Arrow tables, all texts, blank cells null."""
    texts = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(HEADERS, pa.string()), strings_can_be_null=True, null_values=[""]
    )
    blocks = pyarrow.csv.ReadOptions(block_size=32 * 1024 * 1024)
    with pyarrow.csv.open_csv(file, convert_options=texts, read_options=blocks) as reader:
        for batch in reader:
            yield pa.Table.from_batches([batch]).rename_columns(HEADERS)


def upsert(file: Path, working_folder: Path) -> None:
    """Bring dlt's table up to a file; identifiers must be unique in it."""

    @dlt.resource(
        name="contact",
        primary_key="identifier",
        write_disposition={"disposition": "merge", "strategy": "upsert"},
    )
    def contacts() -> Iterator[Any]:
        yield from read_tables(file)

    # It asks for host and password, which a socket does not need.
    place = f"localhost/{os.environ['PGDATABASE']}?host={os.environ['PGHOST']}"
    address = f"postgresql://{os.environ['PGUSER']}:none@{place}"
    pipeline = dlt.pipeline(
        "contacts",
        destination=dlt.destinations.postgres(credentials=address),
        dataset_name=DLT_SCHEMA,
        pipelines_dir=str(working_folder),
    )
    pipeline.run(contacts(), loader_file_format="csv").raise_on_failed_jobs()


if __name__ == "__main__":
    upsert(Path(sys.argv[1]), Path(sys.argv[2]))
