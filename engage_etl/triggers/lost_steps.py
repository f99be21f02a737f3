"""Runs of imports whose step was lost with the worker that had it, or that were lost with their code server.

Celery says nothing of a worker that was killed: the run would wait for its answer for ever. Nor does a code server that
was started anew at the address of the one whose runs ended with it, as in a container. A stage at work holds the lock of
its import, by a connection that ends with its process, so that the store tells who is alive. A run that is given up here is
asked for again by the sensor, as after any other death (R40).
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress

import dagster as dg
import psutil
from dagster._core.events import DagsterEvent, EngineEventData

from engage_etl.settings import Executor, Settings
from engage_etl.store.engine import Store
from engage_etl.store.imports import is_alive
from engage_etl.store.reconnecting import pauses
from engage_etl.triggers.executors import QUEUE
from engage_etl.triggers.runs import GRPC_INFO, PARTITION, PROCESS, process_of

_EVENTS = 30
"""So many of the last events of a run tell where it is."""
_SECOND_LOOK = 3.0
"""Seconds between two looks, at both of which a run has to be lost: a worker takes a step some time before it says so."""
_LOST = (
    "A step of this run was lost: its worker has ended, or does not answer. The store is as the last stage left it; a "
    "dropped file is taken up again by a new run."
)

_log = logging.getLogger(__name__)


def end_runs_with_lost_steps(store: Store, instance: dg.DagsterInstance, now: float | None = None) -> list[str]:
    """Mark runs as failed that have been silent for longer than ``step_silence`` and on which nobody works; returns their ids.

    A step that waits for a worker is not lost. now: seconds since the epoch.
    """
    before = {run.run_id for run in _lost_runs(store, instance, now)}
    if not before:
        return []
    time.sleep(_SECOND_LOOK)
    lost = [run for run in _lost_runs(store, instance, now) if run.run_id in before]
    for run in lost:
        instance.report_run_failed(run, _LOST)
        _end_process(run)
    return [run.run_id for run in lost]


def _lost_runs(store: Store, instance: dg.DagsterInstance, now: float | None) -> list[dg.DagsterRun]:
    """Runs whose steps workers execute, or that are children of a code server, and seem to be lost."""
    settings, moment = store.settings, time.time() if now is None else now
    has_workers = settings.executor is Executor.CELERY
    longest = settings.step_silence if has_workers else max(settings.step_silence, 2 * _longest_pause(settings))
    started = instance.get_runs(filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    silent = [
        run
        for run in started
        if PARTITION in run.tags
        and (has_workers or GRPC_INFO in run.tags)
        and _silence(instance, run, moment) > longest
    ]
    with store.engine.connect() as connection:
        silent = [run for run in silent if not is_alive(connection, run.tags[PARTITION])]
    if not has_workers:
        return silent
    return [run for run in silent if not (_waits_for_worker(instance, run) and _is_anything_queued(settings))]


def _longest_pause(settings: Settings) -> float:
    """Seconds for which a stage that lost its connection waits in silence, and without the lock of its import."""
    return max(pauses(settings), default=0.0)


def _silence(instance: dg.DagsterInstance, run: dg.DagsterRun, now: float) -> float:
    last = instance.get_records_for_run(run.run_id, limit=1, ascending=False).records
    return now - last[0].timestamp if last else 0.0


def _waits_for_worker(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the last that is known of a step is that it was handed to Celery."""
    from dagster_celery.core_execution_loop import DELEGATE_MARKER

    for record in instance.get_records_for_run(run.run_id, limit=_EVENTS, ascending=False).records:
        event = record.event_log_entry.dagster_event
        if event is not None and event.step_key is not None:
            return _marker(event) == DELEGATE_MARKER
    return False


def _marker(event: DagsterEvent) -> str | None:
    data = event.event_specific_data
    return data.marker_start if isinstance(data, EngineEventData) else None


def _is_anything_queued(settings: Settings) -> bool:
    """Whether steps wait in the queue, which may be those of a silent run; if it cannot be asked, they may."""
    from kombu.connection import Connection
    from kombu.exceptions import OperationalError

    assert settings.celery_broker is not None
    try:
        with Connection(settings.celery_broker.get_secret_value(), connect_timeout=settings.connect_timeout) as broker:
            return bool(broker.default_channel._size(QUEUE))
    except (OperationalError, OSError) as error:
        _log.warning("The broker of Celery does not answer (%s).", type(error).__name__)
        return True


def _end_process(run: dg.DagsterRun) -> None:
    """The run's own process, if it is on this machine, would wait for the lost step for ever."""
    process = process_of(run.tags[PROCESS]) if PROCESS in run.tags else None
    if process is not None:
        with suppress(psutil.NoSuchProcess):
            process.kill()
