"""R40: a run whose step was lost with its worker is given up, and one whose step waits for a worker is not."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.events import EngineEventData
from dagster_celery.core_execution_loop import DELEGATE_MARKER
from kombu.connection import Connection

from engage_etl.errors import UsageError
from engage_etl.settings import Executor
from engage_etl.store.engine import Store
from engage_etl.store.imports import import_lock, is_alive
from engage_etl.triggers import lost_steps
from engage_etl.triggers.executors import QUEUE, import_executor
from engage_etl.triggers.jobs import import_definitions
from engage_etl.triggers.lost_steps import end_runs_with_lost_steps
from engage_etl.triggers.runs import GRPC_INFO, PARTITION, PROCESS, tag_of
from engage_etl_tests.scenarios.redis_and_workers import redis_server
from engage_etl_tests.triggers.dropping import add_run
from engage_etl_tests.waiting import LONGEST

STARTED, FAILURE = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE
LATER = 100.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("celery") / "redis") as address:
        yield address


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second look comes at once."""
    monkeypatch.setattr(lost_steps, "_SECOND_LOOK", 0.01)


@pytest.fixture
def spread(store: Store, broker: str) -> Store:
    settings = store.settings.model_validate(
        store.settings.model_dump() | {"celery_broker": broker, "executor": "celery", "step_silence": 60}
    )
    return replace(store, settings=settings)


def begun(instance: dg.DagsterInstance, import_id: str, **tags: str) -> dg.DagsterRun:
    """A run whose step a worker has."""
    run = submitted(instance, import_id, **tags)
    data = EngineEventData(marker_end=DELEGATE_MARKER)
    instance.report_engine_event("Executing steps raw_file in celery worker", run, data, step_key="raw_file")
    return run


def submitted(instance: dg.DagsterInstance, import_id: str, **tags: str) -> dg.DagsterRun:
    """A run whose step waits for a worker."""
    run = add_run(instance, STARTED, tags={PARTITION: import_id} | tags)
    data = EngineEventData(marker_start=DELEGATE_MARKER)
    instance.report_engine_event("Submitting celery task", run, data, step_key="raw_file")
    return run


def test_a_run_is_given_up_when_nobody_holds_its_import_for_long(spread: Store, instance: dg.DagsterInstance) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        run = begun(instance, "crm.a.1", **{PROCESS: tag_of(psutil.Process(process.pid))})
        at_work = begun(instance, "crm.b.1")
        with import_lock(spread.engine, "crm.b.1"):
            assert end_runs_with_lost_steps(spread, instance) == []
            assert end_runs_with_lost_steps(spread, instance, time.time() + LATER) == [run.run_id]
        assert process.wait(timeout=LONGEST) != 0  # it would wait for the lost step for ever
    found = {one.run_id: one.status for one in instance.get_runs()}
    assert found == {run.run_id: FAILURE, at_work.run_id: STARTED}


def test_a_step_that_was_taken_between_two_looks_is_not_lost(
    spread: Store, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(instance, "crm.a.1")
    with ExitStack() as stack:
        monkeypatch.setattr(
            lost_steps.time, "sleep", lambda _: stack.enter_context(import_lock(spread.engine, "crm.a.1"))
        )
        assert end_runs_with_lost_steps(spread, instance, time.time() + LATER) == []
        assert is_held(spread, "crm.a.1")


def is_held(store: Store, import_id: str) -> bool:
    with store.engine.connect() as connection:
        return is_alive(connection, import_id)


def test_a_run_that_was_lost_with_a_code_server_of_the_same_address(store: Store, instance: dg.DagsterInstance) -> None:
    """As in a container that was started anew: something answers there, and knows nothing of the run."""
    lost, at_work = (
        add_run(instance, STARTED, tags={PARTITION: import_id, GRPC_INFO: '{"host": "code", "port": 4000}'})
        for import_id in ("crm.a.1", "crm.b.1")
    )
    add_run(instance, STARTED, tags={PARTITION: "crm.c.1", PROCESS: tag_of(psutil.Process())})
    for run in (lost, at_work):
        instance.report_engine_event("Started", run)
    with import_lock(store.engine, "crm.b.1"):
        assert end_runs_with_lost_steps(store, instance, time.time() + 50) == []
        assert end_runs_with_lost_steps(store, instance, time.time() + LATER) == [lost.run_id]
    assert [run.run_id for run in instance.get_runs() if run.status is FAILURE] == [lost.run_id]


def test_a_step_that_waits_for_a_worker_is_not_lost(spread: Store, instance: dg.DagsterInstance, broker: str) -> None:
    run = submitted(instance, "crm.a.1")
    with Connection(broker) as connection, connection.SimpleQueue(QUEUE) as queue:
        queue.put({"a": "step"})
        assert end_runs_with_lost_steps(spread, instance, time.time() + LATER) == []
        queue.get(timeout=LONGEST).ack()
    assert end_runs_with_lost_steps(spread, instance, time.time() + LATER) == [run.run_id]


def test_while_the_broker_does_not_answer_nothing_that_waits_is_lost(
    spread: Store, instance: dg.DagsterInstance
) -> None:
    submitted(instance, "crm.a.1")
    silent = spread.settings.model_validate(spread.settings.model_dump() | {"celery_broker": "redis://127.0.0.1:1/0"})
    assert end_runs_with_lost_steps(replace(spread, settings=silent), instance, time.time() + LATER) == []


def test_celery_needs_what_workers_elsewhere_need(store: Store, tmp_path: Path) -> None:
    settings = store.settings.model_copy(update={"executor": Executor.CELERY})
    with pytest.raises(
        UsageError, match="ENGAGE_EXECUTOR=celery needs ENGAGE_STORAGE_URL and ENGAGE_CELERY_BROKER too"
    ):
        import_executor(settings)


def test_only_whole_imports_run_in_workers(
    spread: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broker: str
) -> None:
    """A run of dbt would take a worker from imports for long, and its loss with a worker would be noticed by nobody."""
    monkeypatch.setenv("ENGAGE_EXECUTOR", "celery")
    monkeypatch.setenv("ENGAGE_CELERY_BROKER", broker)
    monkeypatch.setenv("ENGAGE_DATABASE_URL", str(spread.settings.database_url))
    monkeypatch.setenv("ENGAGE_STORAGE_URL", str(tmp_path))
    defined = import_definitions()
    names = ("import_contacts", "plan_import", "apply_plan")
    assert {defined.resolve_job_def(name).executor_def.name for name in names} == {"celery"}
    assert defined.resolve_implicit_global_asset_job_def().executor_def.name == "in_process"
