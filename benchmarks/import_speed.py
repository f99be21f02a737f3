"""How long an import takes, and how much memory: a store is filled, then nearly all addresses in a file change.

    python benchmarks/import_speed.py --rows 100000 --contacts 200000 --folder /tmp/bench

Everything runs as people run it: ``engage-etl`` in processes of its own, on an embedded server in a fresh folder. It
prints a table and leaves ``import_speed.json`` and ``import_speed.png`` in the folder.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from make_files import contact, update_rows, write

STAGES = ("start", "raw file and validated rows", "match plan", "applied updates", "report and end")


@dataclass(frozen=True)
class Measured:
    """One import. seconds: in all; peak_mb: of its process; stages: seconds by stage; counts: rows by outcome."""

    name: str
    rows: int
    seconds: float
    peak_mb: float
    stages: dict[str, float]
    counts: dict[str, int]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="is made anew")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--contacts", type=int, default=200_000)
    given = parser.parse_args()
    shutil.rmtree(given.folder, ignore_errors=True)
    given.folder.mkdir(parents=True)
    seed, update = given.folder / "seed.csv", given.folder / "update.csv"
    write(seed, (contact(number) for number in range(1, given.contacts + 1)))
    write(update, update_rows(given.rows, given.contacts))
    environment = os.environ | {"ENGAGE_DATA_DIR": str(given.folder / "data")}
    try:
        engage_etl(environment, "groups", "create", "Newsletter")
        measured = [
            measure(environment, "first filling", seed),
            measure(environment, "full rewrite", update, "--use-external-identifier"),
            measure(environment, "the same again", update, "--use-external-identifier"),
        ]
    finally:
        engage_etl(environment, "db", "stop")
    show(measured)
    (given.folder / "import_speed.json").write_text(json.dumps([asdict(one) for one in measured], indent=2))
    draw(measured, given.folder / "import_speed.png")


def engage_etl(environment: dict[str, str], *arguments: str) -> str:
    """Run a command to its end; its standard output."""
    command = [sys.executable, "-m", "engage_etl.cli.main", *arguments]
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(environment: dict[str, str], name: str, file: Path, *options: str) -> Measured:
    """Import a file and measure it."""
    began, started = time.time(), time.monotonic()
    out = engage_etl(environment, "import", str(file), "--group", "Newsletter", "--json", *options)
    seconds = time.monotonic() - started
    found = json.loads(out)
    # The largest of all ended children so far: imports grow with their files, and the first one is the largest.
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    counts = {key: found[key] for key in ("created", "updated", "unchanged", "skipped", "rejected")}
    return Measured(
        name, found["rows"], seconds, peak_mb, stages(environment, found["import_id"], began, seconds), counts
    )


def stages(environment: dict[str, str], import_id: str, began: float, seconds: float) -> dict[str, float]:
    """Seconds by stage, from the times in the register."""
    code = (
        "import json,sys; from engage_etl.settings import load_settings; from engage_etl.store.engine import open_store;"
        "from engage_etl.store.imports import find_import; s=open_store(load_settings()); c=s.engine.connect();"
        "e=find_import(c,sys.argv[1]); print(json.dumps([t.isoformat() for t in"
        " (e.received_at,e.validated_at,e.planned_at,e.applied_at)]))"
    )
    command = [sys.executable, "-c", code, import_id]
    out = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    times = [began, *(datetime.fromisoformat(text).timestamp() for text in json.loads(out)), began + seconds]
    return {name: after - before for name, before, after in zip(STAGES, times[:-1], times[1:], strict=True)}


def show(measured: list[Measured]) -> None:
    """Print the table, in Markdown."""
    print("| import | rows | seconds | rows/s | peak MB |", " | ".join(STAGES), "|")
    print("|---" * (5 + len(STAGES)) + "|")
    for one in measured:
        parts = " | ".join(f"{one.stages[name]:.1f}" for name in STAGES)
        speed = f"{one.rows / one.seconds:,.0f}"
        print(f"| {one.name} | {one.rows:,} | {one.seconds:.1f} | {speed} | {one.peak_mb:.0f} | {parts} |")


def draw(measured: list[Measured], file: Path) -> None:
    """Draw the stages of each import as a stacked bar."""
    figure, axes = plt.subplots(figsize=(9, 3), layout="constrained")
    left: list[Any] = [0.0] * len(measured)
    for name in STAGES:
        widths = [one.stages[name] for one in measured]
        axes.barh([one.name for one in measured], widths, left=left, label=name)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.set_xlabel("seconds")
    axes.legend(fontsize="small")
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    main()
