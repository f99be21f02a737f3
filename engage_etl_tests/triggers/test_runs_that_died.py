"""R40: a run whose process was killed is ended, so that its import is taken up again and its place is free."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.storage.runs.schema import RunsTable

from engage_etl.store.engine import Store
from engage_etl.triggers.runs import LAUNCHER, end_dead_runs, launcher_tags, process_tags
from engage_etl_tests.triggers.dropping import Sensor, add_run

STARTING, STARTED = dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED


def server_tag(**address: object) -> dict[str, str]:
    return {".dagster/grpc_info": json.dumps({"host": "localhost"} | address)}


def status_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def ended_process() -> str:
    """The tag of a process that lived."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        created = psutil.Process(process.pid).create_time()
        process.kill()
    return f"{socket.gethostname()}/{process.pid}/{created}"


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTING, STARTED])
def test_a_run_whose_code_server_left_no_socket(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> None:
    run = add_run(instance, status, tags=server_tag(socket="/tmp/engage-no-such-socket"))
    assert end_dead_runs(instance) == [run.run_id]
    assert status_of(instance, run) is dg.DagsterRunStatus.FAILURE
    assert end_dead_runs(instance) == []


def test_a_run_whose_killed_code_server_left_its_socket(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    left = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(left))
        server.listen()
        run = add_run(instance, STARTED, tags=server_tag(socket=str(left)))
        assert end_dead_runs(instance) == []
    assert left.exists()
    assert end_dead_runs(instance) == [run.run_id]


def test_a_run_of_a_code_server_on_a_port(instance: dg.DagsterInstance) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        run = add_run(instance, STARTED, tags=server_tag(port=server.getsockname()[1]))
        assert end_dead_runs(instance) == []
    assert end_dead_runs(instance) == [run.run_id]


def test_a_run_of_the_command_line(instance: dg.DagsterInstance) -> None:
    living = add_run(instance, STARTED, tags=process_tags())
    elsewhere = add_run(instance, STARTED, tags={"process": "another-machine/1/1.0"})
    dead = add_run(instance, STARTED, tags={"process": ended_process()})
    assert end_dead_runs(instance) == [dead.run_id]
    assert status_of(instance, living) is status_of(instance, elsewhere) is STARTED


def test_a_run_whose_launcher_died_before_it_had_a_process(instance: dg.DagsterInstance) -> None:
    living = add_run(instance, STARTING, tags=launcher_tags())
    dead = add_run(instance, STARTING, tags={LAUNCHER: ended_process()})
    begun = add_run(instance, STARTED, tags={LAUNCHER: ended_process()} | process_tags())
    assert end_dead_runs(instance) == [dead.run_id]
    assert status_of(instance, living) is STARTING
    assert status_of(instance, begun) is STARTED


def test_a_run_whose_launcher_died_before_it_said_so_is_ended_within_a_minute(instance: dg.DagsterInstance) -> None:
    run, other = add_run(instance, STARTING), add_run(instance, STARTED)
    for age, is_dead in ((0, False), (20, False), (40, True)):
        last_seen = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=age)
        with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
            connection.execute(RunsTable.update().values(update_timestamp=last_seen))
        assert end_dead_runs(instance) == ([run.run_id] if is_dead else [])
    assert status_of(instance, other) is STARTED


def test_a_run_that_waits_for_its_node_in_a_cluster_is_left_to_the_launcher(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = add_run(instance, STARTING)
    last_seen = datetime.now(UTC).replace(tzinfo=None) - timedelta(minutes=4)
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        connection.execute(RunsTable.update().values(update_timestamp=last_seen))
    with monkeypatch.context() as patched:
        patched.setattr(type(instance.run_launcher), "supports_check_run_worker_health", True)
        assert end_dead_runs(instance) == []
    assert end_dead_runs(instance) == [run.run_id]


@pytest.mark.parametrize("status", ["NOT_STARTED", "SUCCESS", "CANCELED"])
def test_a_run_that_has_no_process_is_left_alone(instance: dg.DagsterInstance, status: str) -> None:
    run = add_run(instance, dg.DagsterRunStatus[status], tags=server_tag(socket="/tmp/engage-no-such-socket"))
    assert end_dead_runs(instance) == []
    assert status_of(instance, run).value == status


def test_r40_the_import_of_a_run_that_died_is_taken_up_in_the_same_tick(
    store: Store, instance: dg.DagsterInstance, folder: Path
) -> None:
    sensor = Sensor(store, instance)
    entry = sensor.take(folder / "contacts.csv")
    add_run(instance, STARTED, import_id=entry.import_id, tags=server_tag(socket="/tmp/engage-no-such-socket"))
    assert sensor.requested() == [f"{entry.import_id}/2"]
