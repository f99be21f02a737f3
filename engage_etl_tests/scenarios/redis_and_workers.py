"""Redis and workers of Celery on this machine, each with a data folder of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from engage_etl_tests.scenarios.service import free_port
from engage_etl_tests.sources.services import demand
from engage_etl_tests.waiting import LONGEST, wait_for


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Start Redis; its address."""
    program, port = demand("redis-server", "redis-server"), free_port()
    folder.mkdir()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        wait_for("Redis", lambda: _listens(port))
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Worker:
    """A worker. folder: its data folder, which no other process uses."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def is_at_work(self) -> bool:
        """Whether it has files of an import, as a step has while it is at work."""
        assert self.process.poll() is None, self.folder.with_suffix(".log").read_text()
        return any(self.folder.glob("work/copies-*/*/*"))

    def kill(self) -> None:
        """``kill -9`` of all of its processes at once."""
        processes = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes)
        self.process.wait()


@contextmanager
def workers(number: int, folder: Path, environment: Mapping[str, str]) -> Iterator[list[Worker]]:
    """Start so many workers; steps wait in the queue until they are there. environment: with settings that all of them share."""
    started = [_start(place, folder / f"worker-{place}", environment) for place in range(1, number + 1)]
    try:
        yield started
    finally:
        for worker in started:
            if worker.process.poll() is None:
                worker.process.send_signal(signal.SIGTERM)
        for worker in started:
            try:
                worker.process.wait(timeout=LONGEST)
            except subprocess.TimeoutExpired:
                worker.kill()


def _start(place: int, folder: Path, environment: Mapping[str, str]) -> Worker:
    folder.mkdir()
    command = [sys.executable, "-m", "celery", "-A", "engage_etl.triggers.celery_worker", "worker"]
    command += ["--concurrency", "1", "--hostname", f"worker-{place}@%h", "--without-gossip", "--without-mingle"]
    given = os.environ | environment | {"ENGAGE_DATA_DIR": str(folder)}
    with folder.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen([*command, "--loglevel", "WARNING"], env=given, stdout=log, stderr=log, cwd=folder)
    return Worker(folder, process)
