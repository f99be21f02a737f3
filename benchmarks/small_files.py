"""How long files of 100 rows take: by hand, dropped alone, and ten dropped together; and where the seconds go.

    python -m benchmarks.small_files --folder .bench/small

Everything runs as people run it: ``engage-etl import`` in processes of its own, and dropped files under
``engage-etl up``, on an embedded server in a fresh folder. By hand it is measured with compiled files kept by Python,
and with none at all (PYTHONDONTWRITEBYTECODE and an empty cache). It prints a table, in Markdown, and leaves
``small_files.json`` in the folder. Parts come from the register and from Dagster's event log.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

import dagster as dg

from engage_etl.settings import Settings
from engage_etl.store.engine import open_store
from engage_etl.store.imports import Import, list_imports
from engage_etl.triggers.instance import open_instance
from engage_etl.triggers.runs import list_runs
from engage_etl.vocabulary.outcomes import Status

AUTOMATION = "small"
STORED = 20_000
"""Contacts in the store before."""
LONGEST = 300.0
STAGES = ("raw_file", "validated_rows", "match_plan", "applied_updates")
PARTS = ("noticed", "asked for", "queued", "started", *STAGES, "between and end")
"""Parts of an import's time. By hand, ``noticed`` is the start of the process until the file is registered."""
AUTOMATIONS = f"""
automations:
  - name: {AUTOMATION}
    group: Newsletter
    source: drop/{AUTOMATION}
    additional-parameters:
      source-use-customeridentifier: "true"
"""


HEADER = ("user.Email", "user.Identifier", "user.FirstName", "user.LastName", "user.ZipCode", "user.ISOCountryCode")


def write_contacts(file: Path, numbers: range, domain: str = "example.com") -> None:
    """Write a CSV file with the contacts that have these numbers."""
    with file.open("w", encoding="utf-8", newline="") as writing:
        rows = csv.writer(writing, lineterminator="\n")
        rows.writerow(HEADER)
        for number in numbers:
            name = (f"First{number % 1000}", f"Last{number % 5000}")
            rows.writerow((f"user{number}@{domain}", f"CRM-{number:09d}", *name, f"{number % 99999:05d}", "DE"))


@dataclass(frozen=True)
class Measured:
    """One measurement, repeated; seconds: until all files were applied, reported and put away, median; worst: of them.

    applied: seconds until the last one was applied, median; parts: seconds, medians over all files.
    """

    name: str
    files: int
    seconds: float
    worst: float
    applied: float
    parts: dict[str, float]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="is made anew")
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5, help="of each measurement; of ten dropped files half as many")
    given = parser.parse_args()
    shutil.rmtree(given.folder, ignore_errors=True)
    bench = Bench(given.folder.absolute(), given.rows)
    bench.prepare()
    try:
        measured = [
            bench.by_hand("by hand", given.repeats, bench.compiled()),
            bench.by_hand("by hand, nothing compiled", given.repeats, bench.uncompiled()),
        ]
        with bench.service():
            measured.append(bench.dropped("one dropped", 1, given.repeats))
            measured.append(bench.dropped("ten dropped", 10, max(1, given.repeats // 2)))
    finally:
        bench.engage_etl("db", "stop")
    show(measured)
    (given.folder / "small_files.json").write_text(json.dumps([asdict(one) for one in measured], indent=2))


class Bench:
    """An installation in a folder, and files for it."""

    def __init__(self, folder: Path, rows: int) -> None:
        self.folder, self.rows, self.made = folder, rows, 0
        self.settings = Settings(data_dir=folder / "data")
        self.chance = random.Random(1)

    def prepare(self) -> None:
        """Fill the store, so that what is imported finds its contacts; the first run also compiles everything."""
        self.settings.root.mkdir(parents=True)
        self.settings.automations_file.write_text(AUTOMATIONS)
        seed = self.folder / "seed.csv"
        write_contacts(seed, range(1, STORED + 1))
        self.engage_etl("groups", "create", "Newsletter")
        self.engage_etl("import", str(seed), "--group", "Newsletter", "--use-external-identifier")

    def compiled(self) -> dict[str, str]:
        """An environment in which Python keeps what it compiled, apart from the checkout."""
        given = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        cache = str(self.folder / "compiled")
        return given | {"ENGAGE_DATA_DIR": str(self.settings.root), "PYTHONPYCACHEPREFIX": cache}

    def uncompiled(self) -> dict[str, str]:
        """An environment in which Python finds nothing compiled, not even the packages, and keeps nothing."""
        return self.compiled() | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": str(self.folder / "never")}

    def engage_etl(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        """Run a command to its end."""
        command = [sys.executable, "-m", "engage_etl.cli.main", *arguments]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(command, env=environment or self.compiled(), check=True, **quiet)  # type: ignore[call-overload]

    def file(self, folder: Path) -> Path:
        """Write a file whose contacts are in the store and change their address."""
        self.made += 1
        file = folder / f"small-{self.made:03d}.csv"
        first = self.made * self.rows % (STORED - self.rows) + 1
        write_contacts(file, range(first, first + self.rows), f"example{self.made}.org")
        return file

    def by_hand(self, name: str, repeats: int, environment: dict[str, str]) -> Measured:
        """Import files with the command line, one after the other."""
        taken, found = [], []
        for _ in range(repeats):
            file, began = self.file(self.folder), time.time()
            options = ("--group", "Newsletter", "--use-external-identifier")
            self.engage_etl("import", str(file), *options, environment=environment)
            taken.append(time.time() - began)
            found.append([self.timeline(self.ended([file.name])[0], began, began + taken[-1])])
        return summary(name, 1, taken, found)

    def dropped(self, name: str, count: int, repeats: int) -> Measured:
        """Drop files together and wait until all are reported and put away.

        The pause before differs each time: Dagster's daemon begins a look every five seconds, and goes on with it for a
        while, so that it matters when a file comes.
        """
        taken, found = [], []
        for _ in range(repeats):
            time.sleep(self.chance.uniform(3, 8))
            files = [self.file(self.folder) for _ in range(count)]
            began = time.time()
            for file in files:
                file.rename(self.settings.drop_dir / AUTOMATION / file.name)
            names = [file.name for file in files]
            wait(partial(self.have_ended, names))
            taken.append(time.time() - began)
            found.append([self.timeline(entry, began, None) for entry in self.ended(names)])
        return summary(name, count, taken, found)

    def have_ended(self, names: list[str]) -> bool:
        """Whether all imports of files have ended."""
        return len(self.ended(names)) == len(names)

    def ended(self, names: list[str]) -> list[Import]:
        """The imports of files that are applied and, if they were dropped, put away; in the order of their end."""
        with open_store(self.settings) as store, store.engine.connect() as connection:
            entries = [entry for entry in list_imports(connection, statuses=(Status.APPLIED,)) if entry.file in names]
        done = [entry for entry in entries if entry.automation is None or entry.settled_path is not None]
        return sorted(done, key=lambda entry: str(entry.applied_at))

    def timeline(self, entry: Import, began: float, ended: float | None) -> dict[str, float]:
        """Seconds of each part of one import, and ``applied``: from the drop or the start to the commit."""
        with open_instance(self.settings) as instance:
            [run] = list_runs(instance, entry.import_id)
            wait(lambda: instance.get_run_by_id(run.run_id).is_finished)  # type: ignore[union-attr]
            events = [(log.dagster_event, log.timestamp) for log in instance.all_logs(run.run_id)]
        at = {(event.event_type_value, event.step_key): moment for event, moment in events if event is not None}
        start = at[dg.DagsterEventType.RUN_START.value, None]
        queued = at.get((dg.DagsterEventType.RUN_ENQUEUED.value, None), start)
        launched = at.get((dg.DagsterEventType.RUN_STARTING.value, None), queued)
        registered = entry.received_at.timestamp()
        stages = {
            stage: at[dg.DagsterEventType.STEP_SUCCESS.value, stage] - at[dg.DagsterEventType.STEP_START.value, stage]
            for stage in STAGES
        }
        end = ended if ended is not None else at[dg.DagsterEventType.RUN_SUCCESS.value, None]
        assert entry.applied_at is not None
        return {
            "noticed": registered - began,
            "asked for": queued - registered,
            "queued": launched - queued,
            "started": start - launched,
            **stages,
            "between and end": end - start - sum(stages.values()),
            "applied": entry.applied_at.timestamp() - began,
        }

    @contextmanager
    def service(self) -> Iterator[None]:
        """``engage-etl up``, from its first answer to its end."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        command = [sys.executable, "-m", "engage_etl.cli.main", "up", "--port", port]
        log = self.folder / "up.log"
        with log.open("wb") as messages:
            process = subprocess.Popen(command, env=self.compiled(), stdout=messages, stderr=messages)
        try:
            wait(lambda: b"Web UI:" in log.read_bytes())
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def wait(is_so: Callable[[], bool]) -> None:
    """Wait until something is so.

    Raises:
        TimeoutError: it is not within five minutes.
    """
    deadline = time.monotonic() + LONGEST
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {LONGEST:g} s in vain; look at up.log in the folder")
        time.sleep(0.1)


def summary(name: str, files: int, taken: list[float], found: list[list[dict[str, float]]]) -> Measured:
    """Medians. taken: seconds of each repeat; found: for each repeat, the parts of its files."""
    applied = median(max(one["applied"] for one in together) for together in found)
    parts = {part: median(one[part] for together in found for one in together) for part in PARTS}
    return Measured(name, files, median(taken), max(taken), applied, parts)


def show(measured: list[Measured]) -> None:
    """Print the table, in Markdown."""
    print("| small files | seconds | worst | applied after |", " | ".join(PARTS), "|")
    print("|---" * (4 + len(PARTS)) + "|")
    for one in measured:
        parts = " | ".join(f"{one.parts[part]:.2f}" for part in PARTS)
        print(f"| {one.name} | {one.seconds:.1f} | {one.worst:.1f} | {one.applied:.1f} | {parts} |")


if __name__ == "__main__":
    main()
