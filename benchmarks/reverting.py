"""How long it takes to take an import of the full rewrite back, beside the import itself."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.files import write_file
from benchmarks.ours import run_import
from benchmarks.resident_memory import run_watched
from benchmarks.server import BenchServer
from benchmarks.store_filling import filled_database
from benchmarks.workload import Workload
from engage_etl.store.engine import DATABASE

_LATEST = "SELECT import_id FROM engage.import_register ORDER BY received_at DESC LIMIT 1"
_STATE = (
    "SELECT count(*), sum(hashtextextended(concat_ws('|', identifier, email, email_key, mobile_key, custom), 0))"
    " FROM engage.contact"
)


@dataclass(frozen=True)
class RevertTiming:
    """An import and its revert, each from the start of its process to its end. peak_mb: of the revert's processes."""

    rows: int
    import_seconds: float
    seconds: float
    peak_mb: float
    restored: int


def measure_revert(server: BenchServer, files: Path, rows: int) -> RevertTiming:
    """Import the full rewrite and revert it; what is stored afterwards has to be what was stored before."""
    workload = Workload("A", rows)
    server.copy(filled_database(server, workload.contacts))
    return import_and_revert(server, write_file(files, workload, "csv"), rows)


def import_and_revert(server: BenchServer, file: Path, rows: int, database: str = DATABASE) -> RevertTiming:
    """Import a file of the full rewrite and revert it. database: that the environment of the server leads to.

    Raises:
        AssertionError: contacts are not what they were before, or some change was not restored.
    """
    before = _row(server, database, _STATE)
    imported = run_import(server, file)
    (import_id,) = _row(server, database, _LATEST)
    command = [sys.executable, "-m", "engage_etl.cli.main", "imports", "revert", str(import_id), "--json"]
    started = time.monotonic()
    printed, peak_mb = run_watched(command, server.environment())
    seconds = time.monotonic() - started
    counts = json.loads(printed)
    expected = imported.counts["updated"] + imported.counts["created"]  # each row that updates changes one field
    found = (counts["restored"], counts["kept"], counts["failed"])
    if found != (expected, 0, 0) or _row(server, database, _STATE) != before:
        raise AssertionError(f"The revert left another store than there was: {found}, expected {expected} restored.")
    return RevertTiming(rows, imported.seconds, seconds, peak_mb, counts["restored"])


def _row(server: BenchServer, database: str, query: str) -> tuple[object, ...]:
    with server.connect(database) as connection:
        found = connection.execute(query).fetchone()
    assert found is not None
    return tuple(found)
