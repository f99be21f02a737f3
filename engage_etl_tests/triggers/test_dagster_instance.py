"""Dagster's instance of an installation: written by the program, on the store's server, for several processes at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.utils import make_new_run_id
from dagster._daemon.controller import create_daemon_of_type
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster_postgres import PostgresRunStorage
from ruamel.yaml import YAML

from engage_etl.errors import DataFolderUnusable
from engage_etl.settings import Settings
from engage_etl.triggers.instance import environment, open_instance, prepare_instance
from engage_etl.triggers.run_queue import SECONDS_BETWEEN_LOOKS

COUNT_RUNS = """
import dagster as dg
from engage_etl.settings import load_settings
from engage_etl.triggers.instance import open_instance
with open_instance(load_settings()) as instance:
    instance.add_dynamic_partitions("import_id", ["a"])
    print(instance.get_runs_count(), instance.get_dynamic_partitions("import_id"))
"""


def queue_run(instance: dg.DagsterInstance, tags: dict[str, str]) -> dg.DagsterRun:
    """A run that waits in the queue."""
    location = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("engage_etl"), "__repository__")
    origin = RemoteJobOrigin(location, "import_contacts")
    run = dg.DagsterRun(
        "import_contacts", make_new_run_id(), status=dg.DagsterRunStatus.QUEUED, tags=tags, remote_job_origin=origin
    )
    return instance.add_run(run)


def configuration(settings: Settings) -> Any:
    return YAML(typ="safe").load((prepare_instance(settings) / "dagster.yaml").read_text())


def test_what_is_written(settings: Settings) -> None:
    written = configuration(settings.model_copy(update={"concurrent_runs": 5}))
    runs = written["concurrency"]["runs"]
    assert runs["max_concurrent_runs"] == 6
    assert runs["tag_concurrency_limits"] == [
        {"key": "automation", "value": {"applyLimitPerUniqueValue": True}, "limit": 1},
        {"key": "file", "limit": 5},
    ]
    assert written["telemetry"] == {"enabled": False}
    assert written["run_launcher"]["class"] == "EngageRunLauncher"
    assert written["run_coordinator"]["class"] == "PromptRunQueue"
    assert written["storage"]["custom"]["config"] == {"data_dir": str(settings.root)}


def test_it_is_only_written_where_it_is_other(settings: Settings) -> None:
    file = prepare_instance(settings) / "dagster.yaml"
    os.utime(file, (1, 1))
    prepare_instance(settings)
    assert file.stat().st_mtime == 1
    file.write_text("telemetry: {enabled: true}\n")
    prepare_instance(settings)
    assert configuration(settings)["telemetry"] == {"enabled": False}
    assert [path.name for path in settings.dagster_home.iterdir()] == ["dagster.yaml"]


def test_no_password_is_written(settings: Settings) -> None:
    secret = settings.model_copy(update={"database_url": "postgresql://ann:opensesame@db/engage"})
    assert "opensesame" not in (prepare_instance(secret) / "dagster.yaml").read_text()
    assert environment(secret)["ENGAGE_DATABASE_URL"].endswith("opensesame@db/engage")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataFolderUnusable, match="cannot be written"):
        prepare_instance(Settings(data_dir=tmp_path / "file"))


def test_it_is_stored_on_the_server_of_the_store(instance: dg.DagsterInstance) -> None:
    storage = instance.run_storage
    assert isinstance(storage, PostgresRunStorage)
    assert storage.postgres_url.startswith("postgresql+psycopg2://")
    assert instance.get_runs_count() == 0


def test_the_queue_is_looked_at_as_often_as_dagster_can(instance: dg.DagsterInstance) -> None:
    daemon = create_daemon_of_type("QUEUED_RUN_COORDINATOR", instance)
    assert isinstance(daemon, QueuedRunCoordinatorDaemon)
    assert daemon.interval_seconds == SECONDS_BETWEEN_LOOKS < 1


def test_other_runs_take_no_import_s_place_and_wait_for_none(instance: dg.DagsterInstance) -> None:
    """Two imports run at once; the refresh of the dbt models, which came after a long queue of them, runs beside them."""
    imports = [queue_run(instance, {"file": f"{number}.csv"}) for number in range(4)]
    refresh = [queue_run(instance, {}) for _ in range(2)]
    daemon = create_daemon_of_type("QUEUED_RUN_COORDINATOR", instance)
    assert isinstance(daemon, QueuedRunCoordinatorDaemon)
    chosen = daemon._get_runs_to_dequeue(instance, instance.get_concurrency_config(), None)
    assert {run.run_id for run in chosen} == {run.run_id for run in [*imports[:2], refresh[0]]}


def test_no_process_is_started_to_capture_what_a_run_prints(
    instance: dg.DagsterInstance, capfd: pytest.CaptureFixture[str]
) -> None:
    output, before = instance.compute_log_manager, psutil.Process().children()
    with output.capture_logs(["run", "compute_logs", "step"]):
        assert psutil.Process().children() == before
        os.write(1, b"printed")
    assert capfd.readouterr().out == "printed"
    assert output.is_capture_complete(["run", "compute_logs", "step"])


def test_dagster_home_alone_finds_the_installation(dagster_settings: Settings) -> None:
    """As plain ``dagster dev`` does with the variables of ``engage-etl env``."""
    with open_instance(dagster_settings) as first:
        first.add_dynamic_partitions("import_id", ["a"])
    os.environ.update(environment(dagster_settings))
    with dg.DagsterInstance.get() as second:
        assert second.get_dynamic_partitions("import_id") == ["a"]


def test_several_processes_at_once_on_an_empty_server(dagster_settings: Settings) -> None:
    given = os.environ | environment(dagster_settings)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", COUNT_RUNS], env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    ended = [(*process.communicate(timeout=120), process.returncode) for process in started]
    assert [out for out, _, _ in ended] == ["0 ['a']\n"] * 4, ended
