"""Imports that are started by hand: registered, run by Dagster in this process, and always brought to an end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from engage_etl.cli.account import stated_name
from engage_etl.cli.details import keep_details
from engage_etl.cli.output import say
from engage_etl.cli.progress import import_progress
from engage_etl.errors import ImportBusy, ImportEnded, ReportMissing, SourceUnavailable, StoreError
from engage_etl.raw_file.arrival import register_arrival
from engage_etl.stage_run import finish_import
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, find_import, import_lock, mark_failed, update_import
from engage_etl.store.outages import OUTAGES, is_connection_lost, outage
from engage_etl.store.reconnecting import wait_for_store
from engage_etl.triggers.instance import open_instance
from engage_etl.triggers.resources import ReportedProgress
from engage_etl.triggers.run_import import LOOK_AND_TRY_AGAIN, list_runs, run_imports
from engage_etl.vocabulary.options import ImportOptions

_INTERRUPTED = "DagsterExecutionInterruptedError"


class _Interrupted(ImportEnded):
    """Ctrl-C ended the run of an import."""


def import_by_hand(
    store: Store, files: list[Path], options: ImportOptions, started_by: str | None = None, amends: str | None = None
) -> list[Import]:
    """Import files and the files in archives one after the other, each as a Dagster run; returns how each ended.

    Ctrl-C ends the import that is being run and those after it; what was applied before stays applied.

    started_by: who does; None: the account of this process; amends: id of the import that they correct.
    """
    with store.engine.begin() as connection:
        arrivals = [register_arrival(connection, store.settings, file.absolute(), options) for file in files]
        ids = [import_id for arrival in arrivals for import_id in arrival]
        for import_id in ids:
            update_import(connection, import_id, started_by=stated_name(started_by), amends=amends)
        entries = [find_import(connection, import_id) for import_id in ids]
    with import_progress([entry.file for entry in entries]) as progress:
        run_registered(store, entries, progress)
    with store.engine.connect() as connection:
        return [find_import(connection, import_id) for import_id in ids]


def run_registered(store: Store, entries: Sequence[Import], progress: ReportedProgress) -> bool:
    """Run imports that are registered, one after the other; whether all were begun.

    Ctrl-C ends the import that is being run and those after it.
    """
    is_interrupted = False
    for entry in entries:
        if is_interrupted:
            _end(store, entry.import_id)
        else:
            is_interrupted = isinstance(_run(store, entry, progress), _Interrupted)
    return not is_interrupted


def run_waiting(
    store: Store, entry: Import, job_name: str, run_config: Mapping[str, Any] | None = None
) -> ImportEnded | None:
    """Run a job for an import on which a person decides; returns what failed it, None if nothing did.

    The import stays as the stages have left it.

    Raises:
        StoreError: the server went away.
    """
    interrupted = _Interrupted(f"{entry.file}: the run was interrupted before its end; give the command again.")
    try:
        with import_progress([entry.file]) as progress:
            [run_id] = run_imports(store.settings, [entry], progress, job_name=job_name, run_config=run_config)
    except KeyboardInterrupt:
        return interrupted
    # By its id: the latest run of the import may be that of somebody else who decides in the same moment.
    with open_instance(store.settings) as instance:
        run = instance.get_run_by_id(run_id)
    if run is not None and run.is_success:
        return None
    return _failure(store, entry, run_id) or interrupted


def _run(store: Store, entry: Import, progress: ReportedProgress) -> ImportEnded | None:
    """Run an import and see to its end; returns what ended it, None if that is its own affair.

    A stage that loses its connection tries again by itself. Here the run is tried again that could not record it.

    Raises:
        StoreError: the server went away, or is so full that the end cannot be recorded.
    """
    tried = 0
    while True:
        try:
            # Ctrl-C within a run is Dagster's, which fails the run; before and after it, ours.
            with suppress(KeyboardInterrupt):
                run_imports(store.settings, [entry], progress)
            return _end(store, entry.import_id)
        except StoreError as error:
            stopped = error
        except OUTAGES as error:
            stopped = outage(error, store.settings, LOOK_AND_TRY_AGAIN)
        if not _is_back(store, stopped, tried):
            return _give_up(store, entry, stopped)
        tried += 1


def _is_back(store: Store, stopped: StoreError, tried: int) -> bool:
    """Whether what ended a run was a lost connection that is there again."""
    if not is_connection_lost(stopped):
        return False
    try:
        return wait_for_store(store.settings, tried)
    except StoreError:
        return False


def _give_up(store: Store, entry: Import, stopped: StoreError) -> ImportEnded:
    ended = _Interrupted(f"{entry.file}: {stopped}")
    try:
        _finish(store, entry.import_id, ended)
    except OUTAGES:
        raise type(stopped)(str(ended)) from None
    return ended


def _end(store: Store, import_id: str) -> ImportEnded | None:
    """See to it that an import whose run is over, or was not begun, has ended with a sentence; returns that.

    Stages record what is wrong with a file or a plan; what ended the run beside that is recorded here.
    """
    with store.engine.connect() as connection:
        entry = find_import(connection, import_id)
    ended = _why(store, entry) if entry.is_unfinished else None
    if ended is not None or entry.report is None:
        _finish(store, import_id, ended)
    return ended


def _finish(store: Store, import_id: str, ended: ImportEnded | None) -> None:
    """Record what ended an import that has not ended otherwise meanwhile, and write its report."""
    try:
        with import_lock(store.locks, import_id):
            with store.engine.begin() as connection:
                if ended is not None and find_import(connection, import_id).is_unfinished:
                    mark_failed(connection, import_id, ended)
            finish_import(store, import_id)
    except (ReportMissing, SourceUnavailable) as missing:
        # The sensor puts the file away when its source answers again.
        say(f"Warning: {missing}")
    except ImportBusy:
        # Somebody runs it from the web page; that run decides how it ends.
        return


def _why(store: Store, entry: Import) -> ImportEnded:
    """Why an import whose run is over has not ended by itself."""
    return _latest_failure(store, entry) or _Interrupted(
        f"{entry.file}: the import was interrupted, and nothing was applied; import the file again."
    )


def _latest_failure(store: Store, entry: Import) -> ImportEnded | None:
    """Why the latest run of an import failed, as the event log of Dagster has it; None if no stage has."""
    with open_instance(store.settings) as instance:
        runs = list_runs(instance, entry.import_id)
    return _failure(store, entry, runs[0].run_id) if runs else None


def _failure(store: Store, entry: Import, run_id: str) -> ImportEnded | None:
    """Why a run failed; None if no stage has."""
    with open_instance(store.settings) as instance:
        events = [log.dagster_event for log in instance.all_logs(run_id)]
    for event in events:
        if event is None or not event.is_step_failure:
            continue
        failure = event.step_failure_data
        if failure.user_failure_data is not None and failure.user_failure_data.description:
            return ImportEnded(failure.user_failure_data.description)
        if failure.error is not None and _INTERRUPTED not in failure.error.to_string():
            return _unforeseen(store, entry, failure.error.to_string())
    return None


def _unforeseen(store: Store, entry: Import, details: str) -> ImportEnded:
    file = keep_details(store.settings, details)
    return ImportEnded(
        f"{entry.file}: something unforeseen ended the import, and nothing was applied. "
        f"The details are in {file}; please report them, then import the file again."
    )
