"""The run server: a process for each run, forked from one that has everything loaded."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from engage_etl.settings import Settings
from engage_etl.triggers.runs import process_of
from engage_etl_tests.cli.commands import environment
from engage_etl_tests.importing import Importing
from engage_etl_tests.scenarios.service import wait_for


@dataclass(frozen=True)
class Server:
    """A run server at work. output: what its processes print."""

    process: subprocess.Popen[bytes]
    address: str
    output: Path

    @contextmanager
    def asked(self) -> Iterator[tuple[psutil.Process, Any]]:
        """A forked process that waits to be told what to execute, and the lines to tell it."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(self.address)
            with connection.makefile("rw", encoding="utf-8") as lines:
                forked = process_of(lines.readline().strip())
                assert forked is not None
                yield forked, lines


@pytest.fixture
def run_server(settings: Settings, tmp_path: Path) -> Iterator[Server]:
    """As ``engage-etl up`` starts it."""
    address, output = str(tmp_path / "runs"), tmp_path / "output"
    with socket.socket(socket.AF_UNIX) as listening, output.open("wb") as printed:
        listening.bind(address)
        listening.listen()
        process = subprocess.Popen(
            [sys.executable, "-m", "engage_etl.triggers.run_server", str(listening.fileno())],
            env=environment(settings),
            pass_fds=(listening.fileno(),),
            stdout=printed,
            stderr=printed,
        )
    try:
        yield Server(process, address, output)
    finally:
        process.kill()
        process.wait()


def has_ended(process: psutil.Process) -> bool | None:
    return not process.is_running() or None


def test_it_executes_what_it_is_told_in_a_process_of_its_own(run_server: Server) -> None:
    with run_server.asked() as (forked, lines):
        assert forked.ppid() == run_server.process.pid
        lines.write(json.dumps(["--version"]) + "\n")
    wait_for("the end of the process", lambda: has_ended(forked))
    assert "1.13" in run_server.output.read_text()


def test_it_can_be_forked_safely_and_has_loaded_what_runs_need(run_server: Server) -> None:
    with run_server.asked():
        assert psutil.Process(run_server.process.pid).num_threads() == 1
    maps = {Path(file.path).name for file in psutil.Process(run_server.process.pid).memory_maps()}
    assert any(name.startswith("libarrow.") for name in maps)


def test_a_process_that_is_told_nothing_ends(run_server: Server) -> None:
    with run_server.asked() as (forked, _):
        pass
    wait_for("the end of the process", lambda: has_ended(forked))
    assert run_server.process.poll() is None
    assert run_server.output.read_text() == ""


def test_what_goes_wrong_in_a_run_stays_there(run_server: Server) -> None:
    with run_server.asked() as (forked, lines):
        lines.write("no JSON\n")
    wait_for("the end of the process", lambda: has_ended(forked))
    assert "JSONDecodeError" in run_server.output.read_text()
    with run_server.asked():
        assert run_server.process.poll() is None


def test_asked_to_end_it_waits_for_the_runs_at_work(run_server: Server) -> None:
    with run_server.asked() as (forked, _):
        run_server.process.send_signal(signal.SIGINT)
        wait_for("nobody listening", lambda: _refuses(run_server.address) or None)
        assert forked.is_running() and run_server.process.poll() is None
    assert run_server.process.wait(timeout=60) == 0


def test_it_ends_without_a_word_while_it_loads(run_server: Server) -> None:
    os.kill(run_server.process.pid, signal.SIGTERM)
    assert run_server.process.wait(timeout=60) in (0, -signal.SIGTERM)
    assert "Traceback" not in run_server.output.read_text()


def _refuses(address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(address)
        except ConnectionRefusedError:
            return True
    return False


RUN_AFTER_LOADING = """
import json, sys
from engage_etl.settings import load_settings
from engage_etl.store.engine import open_store
from engage_etl.store.imports import list_imports
from engage_etl.triggers import run_import, run_server
from engage_etl.triggers.resources import Progress
import dagster._core.execution.execute_in_process  # how the command line runs imports, and the run server does not
run_server.load()
loaded = set(sys.modules)
with open_store(load_settings()) as store, store.engine.connect() as connection:
    [entry] = list_imports(connection, limit=1)
run_import.run_imports(load_settings(), [entry], Progress())
print(json.dumps(sorted(set(sys.modules) - loaded)))
"""
ONLY_IN_DEVELOPMENT = {"hypothesis", "_hypothesis_globals", "sortedcontainers"}
"""Pandera loads these if they are installed."""


def test_an_import_loads_next_to_nothing_after_that(importing: Importing, dagster_settings: Settings) -> None:
    import_id = importing.register("user.Email,user.Identifier,user.ISOCountryCode\nann@example.org,1,DE\n")
    ended = subprocess.run(
        [sys.executable, "-c", RUN_AFTER_LOADING],
        env=environment(dagster_settings),
        capture_output=True,
        text=True,
        check=True,
    )
    assert importing.entry(import_id).status == "applied"
    late = [name for name in json.loads(ended.stdout) if name.split(".")[0] not in ONLY_IN_DEVELOPMENT]
    assert len(late) < 15, late
