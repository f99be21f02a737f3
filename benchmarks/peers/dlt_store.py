"""Databases with dlt's table of contacts, filled by dlt."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.files import write_csv
from benchmarks.peers import DLT_SCHEMA
from benchmarks.profiles import Profiles
from benchmarks.resident_memory import run_watched
from benchmarks.server import BenchServer
from benchmarks.templates import template_database
from benchmarks.workload import STORE_DOMAIN

_BATCH = 100_000
_ADDRESSES_UNIQUE = (
    f"CREATE UNIQUE INDEX ON {DLT_SCHEMA}.contact (lower(email)) WITH (fillfactor = 70)",
    f"CREATE UNIQUE INDEX ON {DLT_SCHEMA}.contact (mobile_number) WITH (fillfactor = 70)",
    f"CREATE INDEX ON {DLT_SCHEMA}.contact USING hash (identifier)",
)
"""What the store's table of contacts has, and what keeps addresses unique; dlt makes no indexes by itself."""


def dlt_database(server: BenchServer, contacts: int) -> str:
    """The name of a database in which dlt has loaded so many contacts."""
    return _database(server, contacts, "by_dlt", ())


def indexed_dlt_database(server: BenchServer, contacts: int) -> str:
    """The same with indexes like the store's."""
    return _database(server, contacts, "indexed_by_dlt", _ADDRESSES_UNIQUE)


def _database(server: BenchServer, contacts: int, kind: str, indexes: tuple[str, ...]) -> str:
    def fill(database: str) -> None:
        file = server.folder / "files" / "filling-dlt.csv"
        write_csv(file, _contacts(contacts))
        run_dlt(server, file, database)
        file.unlink()
        with server.connect(database) as connection:
            for statement in indexes:
                connection.execute(statement)
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")

    here = Path(__file__).parent
    made_from = (here / "dlt_store.py", here / "dlt_upsert.py", here.with_name("profiles.py"))
    return template_database(server, kind, contacts, made_from=made_from, fill=fill)


def run_dlt(server: BenchServer, file: Path, database: str) -> float:
    """Load a file with dlt as a process; returns its peak of resident memory in MB."""
    working_folder = server.folder / "dlt"
    shutil.rmtree(working_folder, ignore_errors=True)
    command = [sys.executable, "-m", "benchmarks.peers.dlt_upsert", str(file), str(working_folder)]
    _, peak_mb = run_watched(command, server.environment() | server.libpq(database))
    return peak_mb


def _contacts(contacts: int) -> Iterator[pa.Table]:
    for start in range(1, contacts + 1, _BATCH):
        numbers = np.arange(start, min(start + _BATCH, contacts + 1), dtype=np.int64)
        yield pa.table(Profiles.of(numbers).columns(STORE_DOMAIN))
