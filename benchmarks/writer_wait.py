"""How long a foreign writer waits beside an import: it updates single contacts, one after the other."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from statistics import median

from benchmarks.files import write_file
from benchmarks.ours import run_import
from benchmarks.server import BenchServer
from benchmarks.store_filling import filled_database
from benchmarks.workload import Workload

_ALONE = 5.0
"""Seconds that the writer writes before the import starts."""

_PAUSE = 0.005
"""Seconds between two writes: an application at work, no test of how much the server bears."""

Write = tuple[float, float]
Span = tuple[float, float]


@dataclass(frozen=True)
class Waits:
    """Milliseconds that writes took; those that took longer than one step count in each with their part."""

    writes: int
    median: float
    longest: float


@dataclass(frozen=True)
class WriterWait:
    """Waits by step of the import, and ``alone`` before it. seconds: of the import."""

    rows: int
    seconds: float
    waits: dict[str, Waits]


def measure_writer_wait(server: BenchServer, files: Path, rows: int) -> WriterWait:
    """Import the full rewrite while another connection writes, from before the import to its end."""
    workload = Workload("A", rows)
    file = write_file(files, workload, "csv")
    server.copy(filled_database(server, workload.contacts))
    is_over = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(_write_contacts, server, workload.contacts, is_over)
        try:
            time.sleep(_ALONE)
            began = time.time()
            timing = run_import(server, file)
        finally:
            is_over.set()
        writes = writing.result()
    moments = list(accumulate(timing.steps.values(), initial=began))
    spans = {"alone": (began - _ALONE, began)} | dict(zip(timing.steps, pairwise(moments), strict=True))
    return WriterWait(rows, timing.seconds, measure_waits(writes, spans))


def _write_contacts(server: BenchServer, contacts: int, is_over: threading.Event) -> list[Write]:
    """Write until told to stop; when each write began and ended."""
    writes = []
    chance = random.Random(1)
    with server.connect() as connection:
        while not is_over.wait(_PAUSE):
            contact = chance.randint(1, contacts)
            began = time.time()
            connection.execute(
                "UPDATE engage.contact SET nickname = %s WHERE contact_id = %s", [f"seen {began}", contact]
            )
            writes.append((began, time.time()))
    return writes


def measure_waits(writes: list[Write], spans: dict[str, Span]) -> dict[str, Waits]:
    """How long writes took, by step. spans: when each step began and ended."""
    return {step: _waits(writes, *span) for step, span in spans.items()}


def _waits(writes: list[Write], begin: float, end: float) -> Waits:
    parts = [
        1000 * (min(after, end) - max(before, begin)) for before, after in writes if before < end and after > begin
    ]
    return Waits(len(parts), median(parts) if parts else 0.0, max(parts, default=0.0))
