"""How runs are started under ``engage-etl up``, and ended from the web page."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.launcher import DefaultRunLauncher, LaunchRunContext
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin

from engage_etl.triggers.run_launcher import RUN_SERVER
from engage_etl.triggers.runs import LAUNCHER, PROCESS, end_dead_runs, launcher_tags, process_tags, tag_of
from engage_etl_tests.triggers.dropping import add_run

STARTING, STARTED = dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED
ORIGIN = JobPythonOrigin(
    "import_contacts",
    RepositoryPythonOrigin(sys.executable, ModuleCodePointer("engage_etl.definitions", "defs", None)),
)


@pytest.fixture
def slow_starts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that Dagster's own launcher is left to start."""
    started: list[str] = []
    monkeypatch.setattr(DefaultRunLauncher, "launch_run", lambda _, context: started.append(context.dagster_run.run_id))
    return started


def launch(instance: dg.DagsterInstance) -> dg.DagsterRun:
    """A run of which the daemon asks that it be launched."""
    run = add_run(instance, STARTING)
    instance.run_launcher.launch_run(LaunchRunContext(run._replace(job_code_origin=ORIGIN), None))
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found


class Listener(threading.Thread):
    """In place of the run server: says which process it is and keeps what it is told."""

    def __init__(self, instance: dg.DagsterInstance, address: Path, says: str) -> None:
        super().__init__(daemon=True)
        self.instance, self.says, self.told = instance, says, ""
        self.tags: list[Any] = []
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(address))
        self.listening.listen()

    def run(self) -> None:
        with self.listening:
            connection, _ = self.listening.accept()
        with connection, connection.makefile("rw", encoding="utf-8") as lines:
            lines.write(self.says)
            lines.flush()
            if self.says:
                self.told = lines.readline()
                self.tags = [run.tags for run in self.instance.get_runs()]


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(RUN_SERVER, str(tmp_path / "runs"))
    return tmp_path / "runs"


def test_the_run_server_is_told_which_run_after_the_run_is_tagged_with_its_process(
    instance: dg.DagsterInstance, address: Path, slow_starts: list[str]
) -> None:
    listener = Listener(instance, address, "here/1/2.00\n")
    listener.start()
    run = launch(instance)
    listener.join(60)
    *command, given = json.loads(listener.told)
    assert command == ["api", "execute_run"]
    assert json.loads(given)["pipeline_run_id"] == run.run_id
    assert [tags[PROCESS] for tags in listener.tags] == ["here/1/2.00"]
    assert [tags[LAUNCHER] for tags in listener.tags] == list(launcher_tags().values())
    assert slow_starts == []


@pytest.mark.parametrize("has_server", [True, False])
def test_without_a_run_server_that_answers_dagster_starts_the_run(
    instance: dg.DagsterInstance, address: Path, slow_starts: list[str], has_server: bool
) -> None:
    if has_server:
        Listener(instance, address, says="").start()
    assert slow_starts == [launch(instance).run_id]


def test_under_plain_dagster_dev_dagster_starts_the_run(instance: dg.DagsterInstance, slow_starts: list[str]) -> None:
    assert slow_starts == [launch(instance).run_id]


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    # Where tests run in the background, Ctrl-C is ignored, and so it would be by what they start.
    waiting = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", waiting], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as started:
        assert started.stdout is not None
        started.stdout.readline()
        yield started
        started.kill()


def test_a_run_is_ended_as_by_ctrl_c(instance: dg.DagsterInstance, process: subprocess.Popen[bytes]) -> None:
    run = add_run(instance, STARTED, tags={PROCESS: tag_of(psutil.Process(process.pid))})
    assert instance.run_launcher.terminate(run.run_id)
    assert process.wait(timeout=60) != 0
    assert instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.CANCELING  # type: ignore[union-attr]


def test_a_run_whose_process_is_gone_cannot_be_ended(
    instance: dg.DagsterInstance, process: subprocess.Popen[bytes]
) -> None:
    run = add_run(instance, STARTED, tags={PROCESS: tag_of(psutil.Process(process.pid))})
    process.kill()
    process.wait()
    assert not instance.run_launcher.terminate(run.run_id)
    assert "The process of the run has ended." in instance.all_logs(run.run_id)[-1].message


def test_a_run_that_ended_as_it_should_while_it_was_looked_for_is_not_dead(
    instance: dg.DagsterInstance, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = add_run(instance, STARTED, tags={PROCESS: tag_of(psutil.Process(process.pid))})
    process.kill()
    process.wait()
    seen = instance.get_runs()
    instance.report_dagster_event(dg.DagsterEvent("PIPELINE_SUCCESS", run.job_name), run.run_id)
    monkeypatch.setattr(type(instance), "get_runs", lambda *_, **__: seen)
    assert end_dead_runs(instance) == []


def test_the_tag_of_a_process_is_the_same_when_the_clock_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    before, boot = process_tags(), psutil.boot_time()
    created = psutil.Process().create_time()
    monkeypatch.setattr(psutil, "boot_time", lambda: boot + 3600)
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: created + 3600)
    assert process_tags() == before
