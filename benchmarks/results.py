"""What was measured: how it is kept, and how it is written as JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from benchmarks.growth import Growth
from benchmarks.reverting import RevertTiming
from benchmarks.server import BenchServer
from benchmarks.timing import Timing
from benchmarks.writer_wait import WriterWait
from engage_etl.store.tuning import usable_memory

FLOOR = "floor"
CAREFUL_FLOOR = "floor, skips unchanged"
OURS = "engage-etl"


@dataclass(frozen=True)
class Measured:
    """What one program took for one file. runs: at least one, each from the same state of the store."""

    workload: str
    rows: int
    file_format: str
    program: str
    runs: tuple[Timing, ...]

    @property
    def typical(self) -> Timing:
        """The run in the middle; of two the faster one."""
        return sorted(self.runs, key=lambda run: run.seconds)[(len(self.runs) - 1) // 2]

    @property
    def seconds(self) -> float:
        """Of the typical run."""
        return self.typical.seconds

    @property
    def row_microseconds(self) -> float:
        """Cost of a row."""
        return 1e6 * self.seconds / self.rows


@dataclass(frozen=True)
class Results:
    """All that one run of the benchmark has measured."""

    about: dict[str, object]
    measured: tuple[Measured, ...] = ()
    growth: Growth | None = None
    writer_wait: WriterWait | None = None
    revert: RevertTiming | None = None

    def floor_of(self, one: Measured) -> Measured | None:
        """The floor of the same workload and size, which is always CSV."""
        wanted = (one.workload, one.rows, FLOOR)
        found = (other for other in self.measured if (other.workload, other.rows, other.program) == wanted)
        return next(found, None)

    def ratio(self, one: Measured) -> float | None:
        """How many times the floor's time it took; None where the floor was not measured."""
        floor = self.floor_of(one)
        return one.seconds / floor.seconds if floor is not None else None

    def largest(self, workload: str, program: str) -> Measured | None:
        """What a program took for its largest CSV file."""
        found = (
            one for one in self.measured if (one.workload, one.program, one.file_format) == (workload, program, "csv")
        )
        return max(found, key=lambda one: one.rows, default=None)

    def write(self, file: Path) -> None:
        """Write everything as JSON, ratios included."""
        document = asdict(self)
        for one, written in zip(self.measured, document["measured"], strict=True):
            written |= {"seconds": one.seconds, "times_the_floor": self.ratio(one)}
        file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def about_this_run(server: BenchServer) -> dict[str, object]:
    """What figures depend on: the machine, the server's configuration, the state of the program."""
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], check=False, capture_output=True, text=True)
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip() or "unknown",
        "cores": psutil.cpu_count(),
        "memory_gib": round(usable_memory() / 1024**3, 1),
        "python": platform.python_version(),
        "server": server.configuration(),
        "settings": dict(_own_settings(os.environ.items())),
    }


def _own_settings(variables: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    """Settings that are other than the defaults; addresses and folders are nobody's business."""
    hidden = ("ENGAGE_DATABASE_URL", "ENGAGE_DATA_DIR")
    return ((name, value) for name, value in variables if name.startswith("ENGAGE_") and name not in hidden)
