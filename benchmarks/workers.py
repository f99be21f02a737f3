"""How imports per minute and rows per second grow with the workers of Celery, and what PostgreSQL has to do meanwhile.

    python -m benchmarks.workers --folder .bench/workers

Everything is on this machine: an embedded server, Redis, a bucket of moto's server in a process of its own, ``engage-etl
up``, and 1, 2 and 4 workers. It prints a table in Markdown, and leaves ``workers.json`` and ``workers.png`` in the folder.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.request import Request, urlopen

import psutil
from matplotlib.figure import Figure

from benchmarks.small_files import write_contacts
from engage_etl.settings import Settings
from engage_etl.store.cluster import ROLE
from engage_etl.store.embedded import EmbeddedServer
from engage_etl.store.engine import Store, open_store, upgrade_store
from engage_etl.store.groups import create_group
from engage_etl.store.imports import Import, list_imports
from engage_etl_tests.cli.commands import environment
from engage_etl_tests.scenarios.redis_and_workers import redis_server, workers
from engage_etl_tests.scenarios.service import free_port, running

AUTOMATIONS = 12
BUCKET = "bench"
AUTOMATION = """
  - name: crm-{number}
    group: Newsletter
    source: drop/crm-{number}
    additional-parameters:
      source-use-customeridentifier: "true"
"""


@dataclass(frozen=True)
class Measured:
    """One round. seconds: from the drop until the last file was applied; server: seconds of processor that PostgreSQL took.

    load: of the machine, over the minute before its end.
    """

    workers: int
    files: int
    rows: int
    seconds: float
    server: float
    load: float

    @property
    def imports_per_minute(self) -> float:
        """Files that were applied."""
        return 60 * self.files / self.seconds

    @property
    def rows_per_second(self) -> float:
        """Rows of all files together."""
        return self.files * self.rows / self.seconds


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="is made anew")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--small", type=int, default=24, help="files of 100 rows")
    parser.add_argument("--large", type=int, default=6, help="files of --rows rows")
    parser.add_argument("--rows", type=int, default=50_000)
    given = parser.parse_args()
    folder = given.folder.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    measured: list[Measured] = []
    with _installation(folder) as (settings, store, server):
        bench = _Bench(settings, store, server, folder)
        for number in given.workers:
            with workers(number, _made(folder / f"with-{number}"), os.environ | environment(settings)):
                bench.measure(number, 2 * number, 100)  # until all of them are there
                measured.append(bench.measure(number, given.small, 100))
                measured.append(bench.measure(number, given.large, given.rows))
                (folder / "workers.json").write_text(json.dumps([asdict(one) for one in measured], indent=2))
    print(as_markdown(measured))
    draw(measured, folder / "workers.png")


@contextmanager
def _installation(folder: Path) -> Iterator[tuple[Settings, Store, psutil.Process]]:
    """Everything but workers."""
    embedded = EmbeddedServer(folder)
    cluster = embedded.ensure_running()
    settings = Settings(data_dir=folder / "data", database_url=f"postgresql://{ROLE}@/postgres?host={cluster.sockets}")
    upgrade_store(settings)
    with ExitStack() as stack:
        stack.callback(embedded.remove)
        os.environ |= _given(stack.enter_context(redis_server(folder / "redis")), stack.enter_context(_bucket()))
        settings.root.mkdir()
        written = "".join(AUTOMATION.format(number=number) for number in range(AUTOMATIONS))
        settings.automations_file.write_text(f"automations:{written}")
        store = stack.enter_context(open_store(settings))
        with store.engine.begin() as connection:
            create_group(connection, "Newsletter")
        stack.enter_context(running(settings, folder / "up.log"))
        yield settings, store, _postmaster(folder)


def _given(broker: str, endpoint: str) -> dict[str, str]:
    return {
        "ENGAGE_EXECUTOR": "celery",
        "ENGAGE_CELERY_BROKER": broker,
        "ENGAGE_STORAGE_URL": f"s3://{BUCKET}/kept",
        "ENGAGE_S3_ENDPOINT_URL": endpoint,
        "ENGAGE_CONCURRENT_RUNS": str(AUTOMATIONS),
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@contextmanager
def _bucket() -> Iterator[str]:
    """A service with an empty bucket; its address."""
    port = free_port()
    with subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stderr=subprocess.DEVNULL) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(300):
                try:
                    urlopen(Request(f"{address}/{BUCKET}", method="PUT"), timeout=10).close()
                    break
                except OSError:
                    time.sleep(0.2)
            yield address
        finally:
            process.terminate()


def _postmaster(folder: Path) -> psutil.Process:
    pid = next(folder.rglob("postmaster.pid"))
    return psutil.Process(int(pid.read_text().split()[0]))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


class _Bench:
    def __init__(self, settings: Settings, store: Store, server: psutil.Process, folder: Path) -> None:
        self.settings, self.store, self.server, self.folder = settings, store, server, folder
        self.made = self.contacts = 0

    def measure(self, number: int, files: int, rows: int) -> Measured:
        """Drop files, into one drop folder after the other, and wait until all are applied."""
        before, drops = self._applied(), []
        for place in range(files):
            file = self.folder / f"file-{self.made}.csv"
            write_contacts(file, range(self.contacts, self.contacts + rows))
            drops.append((file, self.settings.drop_dir / f"crm-{place % AUTOMATIONS}" / file.name))
            self.made, self.contacts = self.made + 1, self.contacts + rows
        started, used = time.monotonic(), self._seconds_of_server()
        for file, drop in drops:
            drop.parent.mkdir(parents=True, exist_ok=True)
            file.rename(drop)
        while self._applied() < before + files:
            time.sleep(0.2)
        took = time.monotonic() - started
        return Measured(number, files, rows, took, self._seconds_of_server() - used, os.getloadavg()[0])

    def _applied(self) -> int:
        with self.store.engine.connect() as connection:
            entries: list[Import] = list_imports(connection)
        return sum(entry.applied_at is not None for entry in entries)

    def _seconds_of_server(self) -> float:
        times = self.server.cpu_times()
        living = sum(sum(child.cpu_times()[:2]) for child in self.server.children(recursive=True) if child.is_running())
        return times.children_user + times.children_system + living


def as_markdown(measured: list[Measured]) -> str:
    """A table, one line per round."""
    lines = ["| workers | files | imports per minute | rows per second | processors that PostgreSQL kept busy | load |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    lines += [
        f"| {one.workers} | {one.files} of {one.rows:,} rows | {one.imports_per_minute:.1f} | {one.rows_per_second:,.0f} "
        f"| {one.server / one.seconds:.2f} | {one.load:.1f} |"
        for one in measured
    ]
    return "\n".join(lines)


def draw(measured: list[Measured], file: Path) -> None:
    """Imports per minute of the small files, rows per second of the large ones."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    sizes = sorted({one.rows for one in measured})
    for axes, rows, title in ((left, sizes[0], "imports per minute"), (right, sizes[-1], "rows per second")):
        rounds = [one for one in measured if one.rows == rows]
        figures = [one.imports_per_minute if axes is left else one.rows_per_second for one in rounds]
        axes.plot([one.workers for one in rounds], figures, "o-", color="#d62728")
        for one, figure_ in zip(rounds, figures, strict=True):
            axes.annotate(
                f"{figure_:,.0f}", (one.workers, figure_), xytext=(0, 6), textcoords="offset points", ha="center"
            )
        axes.set_xticks([one.workers for one in rounds])
        axes.set_ylim(0, 1.25 * max(figures))
        axes.margins(x=0.2)
        axes.set_xlabel("workers")
        axes.set_title(f"{title}, files of {rows:,} rows")
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    main()
