"""The whole pipeline: ``engage-etl import`` as people run it, from the start of its process to the end of the report."""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path

from benchmarks.resident_memory import run_watched
from benchmarks.server import BenchServer
from benchmarks.steps import import_steps, reported_seconds
from benchmarks.store_filling import GROUP
from benchmarks.timing import Timing

OUTCOMES = ("created", "updated", "unchanged", "skipped", "rejected")


def run_import(server: BenchServer, file: Path) -> Timing:
    """Import a file, matched on the identifier, and measure it; what the import leaves in files is removed."""
    command = [sys.executable, "-m", "engage_etl.cli.main", "import", str(file), "--group", GROUP]
    began, started = time.time(), time.monotonic()
    printed, peak_mb = run_watched([*command, "--use-external-identifier", "--json"], server.environment())
    seconds = time.monotonic() - started
    summary = json.loads(printed)
    steps = import_steps(server.settings, summary["import_id"], began, began + seconds)
    details = reported_seconds(server.settings, summary["import_id"])
    for folder in ("imports", "reports"):
        shutil.rmtree(server.settings.root / folder, ignore_errors=True)
    return Timing(seconds, steps, peak_mb, {outcome: summary[outcome] for outcome in OUTCOMES}, details)
