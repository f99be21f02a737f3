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
from engage_etl_tests.waiting import wait_for


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
def server(settings: Settings, tmp_path: Path) -> Iterator[Server]:
    """As ``engage-etl up`` starts it."""
    address, output = str(tmp_path / "runs"), tmp_path / "output"
    with socket.socket(socket.AF_UNIX) as listening, output.open("wb") as printed, _usual_termination():
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


@contextmanager
def _usual_termination() -> Iterator[None]:
    """Let processes end by SIGTERM; where tests run in the background of a shell, Dagster makes this one ignore it."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def has_ended(process: psutil.Process) -> bool:
    return not process.is_running()


def test_it_executes_what_it_is_told_in_a_process_of_its_own(server: Server) -> None:
    with server.asked() as (forked, lines):
        assert forked.ppid() == server.process.pid
        lines.write(json.dumps(["--version"]) + "\n")
    wait_for("the end of the process", lambda: has_ended(forked))
    assert "1.13" in server.output.read_text()


def test_it_can_be_forked_safely_and_has_loaded_what_runs_need(server: Server) -> None:
    with server.asked():
        assert psutil.Process(server.process.pid).num_threads() == 1
    maps = {Path(file.path).name for file in psutil.Process(server.process.pid).memory_maps()}
    assert any(name.startswith("libarrow.") for name in maps)


def test_a_process_that_is_told_nothing_ends(server: Server) -> None:
    with server.asked() as (forked, _):
        pass
    wait_for("the end of the process", lambda: has_ended(forked))
    assert server.process.poll() is None
    assert server.output.read_text() == ""


def test_what_goes_wrong_in_a_run_stays_there(server: Server) -> None:
    with server.asked() as (forked, lines):
        lines.write("no JSON\n")
    wait_for("the end of the process", lambda: has_ended(forked))
    assert "JSONDecodeError" in server.output.read_text()
    with server.asked():
        assert server.process.poll() is None


def test_asked_to_end_it_waits_for_the_runs_at_work(server: Server) -> None:
    with server.asked() as (forked, _):
        server.process.send_signal(signal.SIGINT)
        wait_for("nobody listening", lambda: _refuses(server.address))
        assert forked.is_running() and server.process.poll() is None
    assert server.process.wait(timeout=60) == 0


def test_it_ends_without_a_word_while_it_loads(server: Server) -> None:
    os.kill(server.process.pid, signal.SIGTERM)
    assert server.process.wait(timeout=60) in (0, -signal.SIGTERM)
    assert "Traceback" not in server.output.read_text()


def _refuses(address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(address)
        except ConnectionRefusedError:
            return True
    return False
