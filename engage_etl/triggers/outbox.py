"""Registered imports that wait for a run: the register is the outbox of the sensor (R40)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice

import dagster as dg

from engage_etl.errors import EngageError, ImportEnded, ReportMissing, SourceRefused, SourceUnavailable
from engage_etl.raw_file.settling import settle_file
from engage_etl.sources.opening import Sources
from engage_etl.stage_run import finish_import
from engage_etl.store.approvals import Approval, approved_imports, void_approvals
from engage_etl.store.engine import Store
from engage_etl.store.imports import (
    UNFINISHED,
    Import,
    arrival,
    imports_of_arrival,
    is_alive,
    is_preceded,
    list_imports,
    mark_failed,
    update_import,
)
from engage_etl.triggers.jobs import IMPORT_CONTACTS
from engage_etl.triggers.runs import runs_by_import
from engage_etl.vocabulary.counting import counted
from engage_etl.vocabulary.locations import RemoteLocation
from engage_etl.vocabulary.outcomes import Status

_MAY_HAVE_ENDED = (Status.APPLIED, Status.FAILED, Status.PLANNED)
_WAITING = tuple(status for status in Status if status.waits)
APPROVAL = "approval"
"""Tag of a run that applies a plan: the number of the approval because of which it was asked for."""
_MOST_AT_ONCE = 200
"""Runs asked for in one tick; the others wait in the register, so that a tick stays far below its 60 seconds."""
PRIORITY = "dagster/priority"
"""Tag by which Dagster orders the queue; runs have 0."""
_IN_QUEUE = (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED)
HEAD_START = timedelta(seconds=60)
"""How long the runs of a scheduled automation's imports are left to its schedule, which has claimed their files."""


@dataclass(frozen=True)
class DueRun:
    """A run to ask for.

    attempt: 1 for the first; with the import's id it makes the run key, which launches once; approval: of the plan that
    is only to be applied, None for a whole import; priority: in Dagster's queue, 0 for first runs.
    """

    entry: Import
    attempt: int
    approval: Approval | None = None
    priority: int = 0

    @property
    def run_key(self) -> str:
        """The key by which Dagster launches a run at most once."""
        return f"{self.entry.import_id}/{self.attempt}"


def due_runs(
    store: Store, instance: dg.DagsterInstance, scheduled: Collection[str] = (), silent: Collection[str] = ()
) -> list[DueRun]:
    """Runs to ask for: claimed imports that have not ended and that no live run works on, oldest arrival first.

    A first run is asked for at once, and stands in Dagster's queue in the order of arrival. Another one, after a run that
    died or came too early, is asked for when all that arrived before it in its automation have a run or are asked for in
    the same look, and stands before all first runs (R40).

    scheduled: names of automations whose schedules ask for the first runs themselves; what is left of these after a crash is
    asked for after ``HEAD_START``; silent: addresses of sources that do not answer; a run that has to read from them would
    use up an attempt.

    An import whose runs died as often as the settings allow ends as failed, and so does one whose run was cancelled.

    Among them are imports that somebody has approved in a run that died before it applied them (R35).
    """
    with store.engine.connect() as connection:
        approvals = approved_imports(connection)
        dropped = [
            entry
            for entry in list_imports(connection, statuses=(*UNFINISHED, *_WAITING), is_claimed=True)
            if entry.automation and (entry.is_unfinished or entry.import_id in approvals)
        ]
        runs = runs_by_import(instance, [entry.import_id for entry in dropped])
        idle = [entry for entry in dropped if all(run.is_finished for run in runs.get(entry.import_id, []))]
        idle = [entry for entry in idle if entry.import_id in runs or not _is_asked_for_by_schedule(entry, scheduled)]
        # The run that applies an approved plan does not look whether it is its turn.
        idle = [entry for entry in idle if entry.is_unfinished or not is_preceded(connection, entry)]
        # To ask takes the import's lock for a moment, in which a live run could not begin its next stage.
        idle = [entry for entry in idle if not is_alive(connection, entry.import_id)]
    can_be_asked_for = {entry.import_id for entry in idle if not _lies_at(silent, entry)}
    found = (
        _due_run(store, entry, runs.get(entry.import_id, []), approvals.get(entry.import_id))
        for entry in _those_in_turn(dropped, can_be_asked_for, runs)
    )
    return _with_priority(list(islice((due for due in found if due is not None), _MOST_AT_ONCE)))


def _those_in_turn(
    dropped: Collection[Import], can_be_asked_for: Collection[str], runs: Mapping[str, Sequence[dg.DagsterRun]]
) -> Iterator[Import]:
    """Imports to ask for, in the order of arrival; no further run where one that arrived before would start after it.

    It would start out of its turn, end at once, and have to be asked for again. can_be_asked_for: ids; runs: by import.
    """
    held = set[str | None]()
    for entry in sorted(dropped, key=arrival):
        had = runs.get(entry.import_id, [])
        is_asked_for = entry.import_id in can_be_asked_for and not (had and entry.automation in held)
        if is_asked_for:
            yield entry
        comes_first = bool(had) if is_asked_for else any(map(_is_at_work_or_another, had))
        if entry.is_unfinished and not comes_first:
            held.add(entry.automation)


def _is_at_work_or_another(run: dg.DagsterRun) -> bool:
    """Whether a live run comes before all further runs that are asked for: it has begun, or is itself not the first."""
    return not run.is_finished and (run.status not in _IN_QUEUE or PRIORITY in run.tags)


def _with_priority(due: Sequence[DueRun]) -> list[DueRun]:
    """Let further runs come before all first ones, and among themselves in the order in which they are asked for."""
    highest = max((run.attempt for run in due), default=1)
    return [replace(run, priority=highest) if run.attempt > 1 else run for run in due]


def first_runs(store: Store, import_ids: Sequence[str]) -> list[DueRun]:
    """The runs of imports that a schedule has claimed just now, oldest arrival first; the sensor asks for what exceeds."""
    with store.engine.connect() as connection:
        claimed = list_imports(connection, statuses=UNFINISHED, is_claimed=True)
    ordered = sorted((entry for entry in claimed if entry.import_id in set(import_ids)), key=arrival)
    found = (_due_run(store, entry, [], None) for entry in ordered[:_MOST_AT_ONCE])
    return [due for due in found if due is not None]


def _is_asked_for_by_schedule(entry: Import, scheduled: Collection[str]) -> bool:
    return entry.automation in scheduled and datetime.now(UTC) - entry.received_at < HEAD_START


def settle_ended(store: Store, complain: Callable[[str], None], sources: Sources | None = None) -> None:
    """Write the report and put away the file of dropped imports that ended or came to wait just before their process died.

    complain: told of each that cannot be put away; it is tried again at the next tick; sources: those that are open
    already.
    """
    if sources is None:
        with Sources(store.settings) as opened:
            return settle_ended(store, complain, opened)
    with store.engine.connect() as connection:
        ended = list_imports(connection, statuses=_MAY_HAVE_ENDED, is_claimed=True, is_settled=False)
        ended = [entry for entry in ended if entry.automation and entry.has_ended]
        # The file of an archive waits for the last of its imports.
        ended = [entry for entry in ended if all(one.has_ended for one in imports_of_arrival(connection, entry))]
        # Those that wait for a person have a report too, and their file stays.
        waiting = list_imports(connection, statuses=_WAITING, is_claimed=True)
        ended += [entry for entry in waiting if entry.automation and entry.report is None]
        ended = [entry for entry in ended if not is_alive(connection, entry.import_id)]
    for entry in ended:
        try:
            # Without its file, which people may have taken away, there is nothing left to do but to look once more.
            place = entry.arrived_path
            # One that another machine has written need not be written again.
            is_reported = store.kept.is_shared and entry.report is not None
            is_there = sources.at(place).find(place) is not None
            settle = finish_import if is_there and not is_reported else settle_file
            settle(store, entry.import_id, sources, by_sensor=True)
        except (OSError, EngageError) as error:
            complain(f"{entry.file} of import {entry.import_id} cannot be put away: {error}")
            if isinstance(error, SourceUnavailable) and not isinstance(error, SourceRefused):
                sources.give_up(entry.arrived_path, error)


def _lies_at(addresses: Collection[str], entry: Import) -> bool:
    place = entry.arrived_path
    return isinstance(place, RemoteLocation) and place.address in addresses


def _due_run(store: Store, entry: Import, runs: Sequence[dg.DagsterRun], approval: Approval | None) -> DueRun | None:
    """The run that an import waits for, or None if it gets no other.

    runs: those it had so far, the latest first; all have ended; approval: of its plan, which is only to be applied.
    """
    if approval is not None:
        return _approved_run(store, entry, runs, approval)
    if runs and runs[0].status is dg.DagsterRunStatus.CANCELED:
        _give_up(store, entry, "its run was cancelled, and nothing was applied. Drop the file again to import it.")
        return None
    failed = [run for run in runs if _is_whole(run) and run.status is not dg.DagsterRunStatus.SUCCESS]
    if len(failed) >= store.settings.run_attempts:
        _give_up(
            store,
            entry,
            f"{counted(len(failed), 'run')} of this import ended before it was applied, and nothing was applied. "
            "Look at its runs in the web page, then drop the file again.",
        )
        return None
    attempt = len(runs) + 1
    if attempt != entry.attempts:
        with store.engine.begin() as connection:
            update_import(connection, entry.import_id, attempts=attempt)
    return DueRun(entry, attempt)


def _is_whole(run: dg.DagsterRun) -> bool:
    """Whether a run was to take an import from file to end; people run single stages of those that wait, as they like."""
    return run.job_name == IMPORT_CONTACTS and APPROVAL not in run.tags


def _approved_run(store: Store, entry: Import, runs: Sequence[dg.DagsterRun], approval: Approval) -> DueRun | None:
    """The run that applies a plan which was approved and not applied, or None if the approval is taken back.

    Runs that were asked for because of this very approval bear its number.
    """
    failed = [run for run in runs if run.tags.get(APPROVAL) == str(approval.approval_id)]
    if runs and runs[0].status is dg.DagsterRunStatus.CANCELED:
        why = "the run that was to apply its approved plan was cancelled"
    elif len(failed) >= store.settings.run_attempts:
        why = f"{counted(len(failed), 'run')} for its approved plan ended before it was applied; look at its runs in the web page"
    else:
        return DueRun(entry, len(runs) + 1, approval)
    with store.engine.begin() as connection:
        void_approvals(connection, entry.import_id, "not_applied")
        sentence = f"{entry.file}: {why}. Nothing was applied; approve the plan again, or reject it."
        update_import(connection, entry.import_id, error_code="not_applied", error_message=sentence)
    return None


def _give_up(store: Store, entry: Import, why: str) -> None:
    with store.engine.begin() as connection:
        mark_failed(connection, entry.import_id, ImportEnded(f"{entry.file}: {why}"))
    with suppress(ReportMissing, SourceUnavailable):  # ``settle_ended`` tries it again and complains
        finish_import(store, entry.import_id)
