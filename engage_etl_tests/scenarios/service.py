"""``engage-etl up`` under test: start it, ask it, drop files, end it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from engage_etl.settings import Settings
from engage_etl_tests.cli.commands import environment
from engage_etl_tests.waiting import LONGEST, wait_for

RUNS = "{ runsOrError { ... on Runs { results { status tags { key value } } } } }"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Service:
    """A running ``engage-etl up``."""

    def __init__(self, settings: Settings, log: Path, *options: str) -> None:
        self.settings, self.port, self.log, self.options = settings, free_port(), log, options
        self.process = self.again(log)

    @property
    def address(self) -> str:
        """Where the web server is."""
        return f"http://127.0.0.1:{self.port}"

    def again(self, log: Path) -> subprocess.Popen[bytes]:
        """Start it, with the port of this service."""
        with log.open("ab") as messages:
            return subprocess.Popen(
                [sys.executable, "-m", "engage_etl.cli.main", "up", "--port", str(self.port), *self.options],
                env=environment(self.settings),
                stdout=messages,
                stderr=messages,
            )

    def wait_until_it_answers(self) -> None:
        wait_for("the web server", self._is_ready)

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return "Web UI:" in self.log.read_text()

    def ask(self, query: str) -> Any:
        """Ask the GraphQL endpoint."""
        request = urllib.request.Request(
            f"{self.address}/graphql",
            data=json.dumps({"query": query}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=LONGEST) as answer:
            return json.load(answer)["data"]

    def page(self, path: str) -> str:
        """A page of the web server; HTTPError where it refuses."""
        with urllib.request.urlopen(f"{self.address}{path}", timeout=LONGEST) as answer:
            return str(answer.read(), "utf-8")

    def runs(self) -> dict[str, list[str]]:
        """Statuses of the import runs, by name of the file."""
        found: dict[str, list[str]] = {}
        for run in self.ask(RUNS)["runsOrError"]["results"]:
            tags = {tag["key"]: tag["value"] for tag in run["tags"]}
            if "file" in tags:
                found.setdefault(tags["file"], []).append(run["status"])
        return found

    def processes_of_imports(self) -> list[str]:
        """The tags that name the processes of the import runs at work."""
        started = self.ask(RUNS.replace("runsOrError", "runsOrError(filter: {statuses: [STARTED]})", 1))
        tags = ({tag["key"]: tag["value"] for tag in run["tags"]} for run in started["runsOrError"]["results"])
        return [found["process"] for found in tags if {"file", "process"} <= found.keys()]

    def started_by_the_run_server(self) -> set[str]:
        """Names of the files whose runs the run server has started, and not Dagster's own, slower launcher."""
        found: set[str] = set()
        for run in self.ask(RUNS)["runsOrError"]["results"]:
            tags = {tag["key"]: tag["value"] for tag in run["tags"]}
            if "process" in tags and ".dagster/grpc_info" not in tags:
                found |= {tags["file"]} if "file" in tags else set()
        return found

    def daemon(self) -> psutil.Process:
        """The daemon's process."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return next(child for child in children if "dagster._daemon" in child.cmdline())

    def run_processes(self) -> list[psutil.Process]:
        """The processes of the runs that are at work: what the run server has forked."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        server = next(child for child in children if "engage_etl.triggers.run_server" in child.cmdline())
        return server.children()

    def kill(self) -> None:
        """``kill -9`` of everything at once."""
        processes = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes)

    def end(self) -> int:
        """End it as Ctrl-C does; returns its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=LONGEST)


@contextlib.contextmanager
def running(settings: Settings, log: Path, *options: str) -> Iterator[Service]:
    service = Service(settings, log, *options)
    try:
        service.wait_until_it_answers()
        yield service
    finally:
        if service.process.poll() is None:
            service.kill()


def drop(content: str | bytes, target: Path) -> None:
    """Put a file into a drop folder, moved there whole."""
    aside = target.parent.parent / f".{target.name}"
    aside.write_bytes(content.encode() if isinstance(content, str) else content)
    os.rename(aside, target)  # noqa: PTH104 - the point is the system call
