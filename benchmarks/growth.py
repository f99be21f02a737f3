"""How tables grow over ten imports of the full rewrite, one right after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.files import write_file
from benchmarks.ours import run_import
from benchmarks.server import BenchServer
from benchmarks.store_filling import filled_database
from benchmarks.workload import Workload

IMPORTS = 10

# Partitions count for the table that they are part of.
_SIZES = """
SELECT coalesce(pg_partition_root(oid), oid)::regclass::text, sum(pg_table_size(oid))::bigint,
    sum(pg_indexes_size(oid))::bigint
FROM pg_class WHERE relnamespace = 'engage'::regnamespace AND relkind = 'r' GROUP BY 1 ORDER BY 1
"""
_VACUUMED = "SELECT relname, autovacuum_count FROM pg_stat_user_tables WHERE autovacuum_count > 0 ORDER BY relname"


@dataclass(frozen=True)
class Size:
    """Bytes of a table, what lies outside of its pages included, and of all its indexes."""

    table: int
    indexes: int

    @property
    def total(self) -> int:
        """Both."""
        return self.table + self.indexes


@dataclass(frozen=True)
class Growth:
    """Sizes by table: before, and after each import. autovacuums: how often a table was vacuumed meanwhile."""

    rows: int
    contacts_before: int
    contacts_after: int
    seconds: tuple[float, ...]
    sizes: tuple[dict[str, Size], ...]
    autovacuums: dict[str, int]


def measure_growth(server: BenchServer, files: Path, rows: int, *, pause: float, say: Callable[[str], None]) -> Growth:
    """Import ten files of the full rewrite into one store, each with other changed addresses and new contacts.

    pause: seconds after each import, for autovacuum, which looks around once a minute.
    """
    first = Workload("A", rows)
    server.copy(filled_database(server, first.contacts))
    seconds, sizes = [], [_sizes(server)]
    for turn in range(1, IMPORTS + 1):
        workload = Workload("A", rows, turn)
        timing = run_import(server, write_file(files, workload, "csv"))
        if timing.counts != workload.expected():
            raise AssertionError(f"Import {turn}: {timing.counts} came out, and {workload.expected()} was expected.")
        time.sleep(pause)
        seconds.append(timing.seconds)
        sizes.append(_sizes(server))
        say(f"{timing.seconds:8.1f} s  A {rows:,} csv  import {turn} of {IMPORTS}")
    with server.connect() as connection:
        vacuumed = {str(name): int(count) for name, count in connection.execute(_VACUUMED)}
        after = connection.execute("SELECT count(*) FROM engage.contact").fetchone()
    return Growth(rows, first.contacts, after[0] if after else 0, tuple(seconds), tuple(sizes), vacuumed)


def _sizes(server: BenchServer) -> dict[str, Size]:
    with server.connect() as connection:
        found = connection.execute(_SIZES).fetchall()
    return {name.removeprefix("engage."): Size(table, indexes) for name, table, indexes in found}
