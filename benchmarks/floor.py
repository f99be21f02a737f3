"""The floor: hand-written SQL in psql on the same tables, ``floor.sql``."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

from benchmarks.server import BenchServer
from benchmarks.timing import Timing
from engage_etl.store.engine import DATABASE

SQL = Path(__file__).with_name("floor.sql")

_SKIPS_UNCHANGED = """AND (c.email, c.mobile_number, c.first_name, c.last_name, c.zip_code, c.country_code, c.language_code,
    c.date_of_birth, c.title, c.custom->>'colour', c.custom->>'favourite shop')
    IS DISTINCT FROM (s.email, s.mobile_number, s.first_name, s.last_name, s.zip_code, s.country_code, s.language_code,
    s.date_of_birth, s.title, s.colour, s.shop)"""
"""The condition with which a careful author would leave alone what a file does not change."""


def run_floor(server: BenchServer, file: Path, *, skips_unchanged: bool = False, database: str = DATABASE) -> Timing:
    """Run the SQL on a CSV file, as a process from its start to its end; the steps are psql's own figures."""
    psql = [str(server.cluster.binaries / "psql"), "--no-psqlrc", "--quiet", "--file", str(SQL)]
    psql += ["--set", f"unchanged={_SKIPS_UNCHANGED if skips_unchanged else ''}"]
    started = time.monotonic()
    with file.open("rb") as rows:
        ran = subprocess.run(
            psql,
            check=True,
            stdin=rows,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | server.libpq(database),
        )
    return Timing(seconds=time.monotonic() - started, steps=_steps(ran.stdout))


def _steps(printed: str) -> dict[str, float]:
    """Seconds by step, from the lines ``STEP name`` and ``Time: 12.345 ms`` that psql printed."""
    steps: dict[str, float] = {}
    step = None
    for line in printed.splitlines():
        if line.startswith("STEP "):
            step = line.removeprefix("STEP ")
        elif step is not None and (found := re.match(r"Time: ([\d.]+) ms", line)):
            steps[step] = steps.get(step, 0.0) + float(found[1]) / 1000
    return steps
