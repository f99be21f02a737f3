"""A load that goes on: a file every second, some of them broken, and what happened to each."""

from __future__ import annotations

import gzip
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil
import psycopg

from engage_etl.settings import Settings
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, list_imports
from engage_etl.triggers.runs import process_of
from engage_etl.vocabulary.outcomes import Status
from engage_etl_tests.scenarios.service import Service, drop

NAMES = ("north", "south")
ROWS = 1_000
AUTOMATIONS = "automations:\n" + "".join(
    f"""  - name: {name}
    group: Newsletter
    source: drop/{name}
    additional-parameters:
      source-use-customeridentifier: "true"
"""
    for name in NAMES
)
HEADER = "user.Identifier,user.Email,user.LastName\n"


@dataclass(frozen=True)
class Arrival:
    """A file of the load. status, counts: how its import has to end, as the spec has it."""

    number: int
    name: str
    content: bytes
    status: Status
    counts: dict[str, int]

    @property
    def automation(self) -> str:
        """Whose folder it is dropped into, one after the other."""
        return NAMES[self.number % len(NAMES)]

    def demand_ended_as_expected(self, entry: Import) -> None:
        """The import has the status, and each of its rows the outcome, that were announced."""
        found = (entry.automation, entry.status, {name: getattr(entry, name) for name in self.counts})
        assert found == (self.automation, self.status, self.counts), (entry.file, entry.error_message)


def arrival(number: int) -> Arrival:
    """A file in which all contacts of an automation get the number as their last name; of twelve, four are broken."""
    lines = [f"{contact_of(number, row)},n{number}\n" for row in range(ROWS)]
    rejected = skipped = 0
    kind = number // len(NAMES) % 6
    if kind == 1:
        lines.extend(f"new{row}@,x\n".replace("@", f"-{number},no-address") for row in range(10))
        rejected = 10
    if kind == 2:
        lines.extend(lines[:5])
        skipped = 5
    content = (HEADER + "".join(lines)).encode()
    counts = {
        "rows": ROWS + rejected + skipped,
        "created": 0,
        "updated": ROWS,
        "rejected": rejected,
        "skipped": skipped,
    }
    if kind == 3:
        return Arrival(number, f"{number:05}.csv.gz", gzip.compress(content), Status.APPLIED, counts)
    if kind == 4:
        return Arrival(number, f"{number:05}.csv.gz", gzip.compress(content)[:-20], Status.FAILED, {"updated": 0})
    if kind == 5:
        return Arrival(
            number, f"{number:05}.csv", content.replace(b"LastName", b"LastNmae"), Status.FAILED, {"rows": 0}
        )
    return Arrival(number, f"{number:05}.csv", content, Status.APPLIED, counts)


def contact_of(number: int, row: int) -> str:
    """Identifier and address of a contact: each automation has its own thousand."""
    name = NAMES[number % len(NAMES)]
    return f"{name}-{row},{name}-{row}@example.org"


def store_of_contacts() -> str:
    """The file that fills the store: by address, as nobody is known by an identifier yet."""
    pairs = (contact_of(number, row).split(",") for number in range(len(NAMES)) for row in range(ROWS))
    return "user.Email,user.Identifier\n" + "".join(f"{email},{identifier}\n" for identifier, email in pairs)


@dataclass(frozen=True)
class Held:
    """What a service that has nothing to do holds on to.

    mebibytes: of memory that its processes share with nobody, mebibytes_of: of each of them, by what it runs; connections: to
    its databases; files: open in its processes.
    """

    mebibytes: int
    mebibytes_of: dict[str, int]
    connections: int
    files: int
    processes: int


def held(service: Service) -> Held:
    """What the service holds on to now."""
    main = psutil.Process(service.process.pid)
    memory, files, processes = Counter[str](), 0, 0
    for process in (main, *main.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            memory[_what_it_runs(process)] += process.memory_full_info().uss
            files += process.num_fds()
            processes += 1
    databases = [
        service.settings.dagster_database,
        psycopg.conninfo.conninfo_to_dict(database(service.settings))["dbname"],
    ]
    with psycopg.connect(database(service.settings), dbname="postgres") as connection:
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = ANY(%s)"
        [connections] = connection.execute(count, [databases]).fetchone() or [0]
    mebibytes_of = {name: size // 2**20 for name, size in memory.items()}
    return Held(memory.total() // 2**20, mebibytes_of, int(connections), files, processes)


def _what_it_runs(process: psutil.Process) -> str:
    """The module, with its command where that tells processes apart: ``dagster api``."""
    words = process.cmdline()
    module = words.index("-m") + 1 if "-m" in words else 0
    return " ".join(words[module : module + 2])


def database(settings: Settings) -> str:
    """The address of the store."""
    assert settings.database_url is not None
    return settings.database_url


@dataclass(frozen=True)
class Strike:
    """Something that goes wrong meanwhile. after: share of the files that are dropped before."""

    after: float
    do: Callable[[Service], object | None]


def kill_a_run(service: Service) -> object | None:
    """``kill -9`` of the run of an import at work; None while there is none. Those of dbt would keep no import from ending."""
    for tag in service.processes_of_imports():
        process = process_of(tag)
        if process is not None:
            process.kill()
            return process
    return None


def cut_connections(service: Service) -> object | None:
    """End the sessions of the imports that are at work; None while there are none."""
    with psycopg.connect(database(service.settings), autocommit=True) as connection:
        cut = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'"""
        return connection.execute(cut).fetchall() or None


def drop_all(service: Service, arrivals: list[Arrival], strikes: list[Strike]) -> Counter[str]:
    """Drop a file a second, and strike meanwhile; returns how often each strike struck."""
    struck: Counter[str] = Counter()
    waiting = list(strikes)
    started = time.monotonic()
    for done, file in enumerate(arrivals):
        drop(file.content, service.settings.drop_dir / file.automation / file.name)
        due = started + done + 1
        while time.monotonic() < due:
            if waiting and done >= waiting[0].after * len(arrivals) and waiting[0].do(service) is not None:
                struck[waiting.pop(0).do.__name__] += 1
            time.sleep(0.02)
    assert not waiting, f"no moment was found for {waiting[0].do.__name__}"
    return struck


def ended_imports(store: Store, files: set[str]) -> dict[str, Import] | None:
    """The imports of these files by name, when all of them have ended and none is there twice."""
    with store.engine.connect() as connection:
        entries = [entry for entry in list_imports(connection, limit=None) if entry.file in files]
    if len(entries) < len(files) or not all(entry.has_ended for entry in entries):
        return None
    assert len(entries) == len(files), Counter(entry.file for entry in entries).most_common(3)
    return {entry.file: entry for entry in entries}


def history_of(settings: Settings) -> Any:
    """How often each version of a contact was written, and the last names that are left, by automation."""
    with psycopg.connect(database(settings)) as connection:
        return connection.execute(
            """SELECT split_part(identifier, '-', 1), last_name, version, count(*)
            FROM engage.contact GROUP BY 1, 2, 3 ORDER BY 1"""
        ).fetchall()
