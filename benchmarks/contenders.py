"""The programs that are measured: how each is run, on what, and up to which size it is bearable."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.floor import run_floor
from benchmarks.ours import run_import
from benchmarks.peers import DLT_SCHEMA
from benchmarks.peers.dlt_store import dlt_database, indexed_dlt_database, run_dlt
from benchmarks.resident_memory import run_watched
from benchmarks.results import CAREFUL_FLOOR, FLOOR, OURS
from benchmarks.server import BenchServer
from benchmarks.store_filling import filled_database
from benchmarks.timing import Timing
from benchmarks.workload import Kind, Workload
from engage_etl.store.engine import DATABASE


@dataclass(frozen=True)
class Contender:
    """A program.

    short: name in options; name: in results; run: takes a file; template: database that it starts from; formats,
    workloads: that it is measured on; up_to: rows past which it would take too long, None: no limit; is_distinct: its file
    has no row twice, on which it would fail; table: where contacts are.
    """

    short: str
    name: str
    run: Callable[[BenchServer, Path], Timing]
    template: Callable[[BenchServer, int], str] = filled_database
    formats: tuple[str, ...] = ("csv",)
    workloads: tuple[str, ...] = ("A", "B")
    up_to: int | None = None
    is_distinct: bool = False
    table: str = "engage.contact"

    def measure(self, server: BenchServer, workload: Workload, file: Path) -> Timing:
        """Run it once, from a fresh copy of its database, and see that it did the work.

        Raises:
            AssertionError: other contacts than those of the workload have a new address, or our counts are wrong.
        """
        server.copy(self.template(server, workload.contacts))
        timing = self.run(server, file)
        with server.connect() as connection:
            moved = connection.execute(f"SELECT count(*) FROM {self.table} WHERE email LIKE '%@mail1.%'").fetchone()
        if moved != (workload.rows_of(Kind.EMAIL),) or timing.counts not in ({}, workload.expected()):
            raise AssertionError(
                f"{self.name} on {file.name}: {moved} addresses changed, and the rows {timing.counts}."
            )
        return timing


def contenders() -> tuple[Contender, ...]:
    """All programs, ours after the floor, then peers."""
    return (
        Contender("floor", FLOOR, run_floor),
        Contender("floor", CAREFUL_FLOOR, lambda *run: run_floor(*run, skips_unchanged=True), workloads=("B",)),
        Contender("ours", OURS, run_import, formats=("csv", "xml")),
        *_dlt(),
        Contender("orm", "SQLAlchemy ORM loop", _peer("orm_loop", "1000"), up_to=10_000),
        Contender("orm", "SQLAlchemy ORM loop, commit per row", _peer("orm_loop", "1"), up_to=10_000),
        Contender("django", "django-import-export", _peer("django_import_export"), up_to=10_000),
        Contender("django", "django-import-export, cached", _peer("django_import_export", "cached"), up_to=10_000),
    )


def _dlt() -> tuple[Contender, ...]:
    def run(server: BenchServer, file: Path) -> Timing:
        started = time.monotonic()
        peak_mb = run_dlt(server, file, DATABASE)
        return Timing(time.monotonic() - started, {}, peak_mb)

    return tuple(
        Contender("dlt", name, run, template=template, is_distinct=True, table=f"{DLT_SCHEMA}.contact", up_to=1_000_000)
        for name, template in (("dlt, no indexes", dlt_database), ("dlt, indexes as ours", indexed_dlt_database))
    )


def _peer(module: str, *arguments: str) -> Callable[[BenchServer, Path], Timing]:
    """A peer that runs as ``python -m benchmarks.peers.<module> FILE``."""

    def run(server: BenchServer, file: Path) -> Timing:
        command = [sys.executable, "-m", f"benchmarks.peers.{module}", str(file), *arguments]
        started = time.monotonic()
        _, peak_mb = run_watched(command, server.environment())
        return Timing(time.monotonic() - started, {}, peak_mb)

    return run
