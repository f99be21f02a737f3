"""A tick of an automation's schedule: claim what waits at its source, and ask for the runs (R40).

The files are claimed as the sensor does it, and the runs of their imports asked for here. What a crash in between leaves
behind stands in the register, and the sensor asks for it after ``HEAD_START`` (``outbox.due_runs``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import dagster as dg

from engage_etl.errors import SourceUnavailable, StoreUnavailable
from engage_etl.settings import Settings
from engage_etl.sources.opening import Sources
from engage_etl.store.engine import Store, open_store
from engage_etl.store.reconnecting import wait_for_store
from engage_etl.triggers.arrivals import Look, see_waiting, settle_pause, take_seen
from engage_etl.triggers.automations import Automation, load_automations
from engage_etl.triggers.looking import make_folders, run_request
from engage_etl.triggers.outbox import first_runs
from engage_etl.triggers.partitions import IMPORTS
from engage_etl.vocabulary.locations import RemoteLocation

_LONGEST_TICK = 40.0
"""Seconds; Dagster ends a tick after 60."""
_PATIENCE_ELSEWHERE = 30.0
"""Seconds after which a tick asks S3 and SFTP no more; what is asked last may still take its time."""


def tick(
    instance: dg.DagsterInstance, settings: Settings, known: Automation, warn: Callable[[str], None]
) -> list[dg.RunRequest] | dg.SkipReason:
    """Claim what waits and ask for its runs; nothing waiting is a reason to skip.

    known: the automation as it was when the schedule was loaded; the file may say otherwise by now; warn: told of what
    cannot be taken, where there are runs to ask for.

    Raises:
        StoreError: the store cannot be opened; Dagster tries the tick again.
        SourceUnavailable: the source does not answer, likewise: the next tick of the schedule may be a day away.
    """
    until = time.monotonic() + _LONGEST_TICK
    automations, errors = load_automations(settings.automations_file, settings.root)
    automation = next((one for one in automations if one.name == known.name), None)
    if automation is None:
        wrong = "".join(f"; {error}" for error in errors)
        return dg.SkipReason(f"automations.yaml has no automation {known.name!r} that is right{wrong}")
    if (reason := _why_not(automation, known)) is not None:
        return dg.SkipReason(reason)
    complaints: list[str] = []
    make_folders([automation], complaints.append)
    with _open(settings, until) as store, Sources(settings, patience=_PATIENCE_ELSEWHERE) as sources:
        ids, left = _take_all(store, automation, complaints.append, until, sources)
        due = first_runs(store, ids)
    complaints += _left(left, automation)
    if not due:
        _raise_if_silent(automation, sources)
        return dg.SkipReason("; ".join(complaints) or f"no file waits in {automation.source}")
    for complaint in complaints:
        warn(complaint)
    instance.add_dynamic_partitions(str(IMPORTS.name), [run.entry.import_id for run in due])
    return [run_request(run) for run in due]


def _why_not(automation: Automation, known: Automation) -> str | None:
    """Why a tick of this schedule is none of this automation any more."""
    if not automation.is_active:
        return f"the automation {known.name!r} is not active"
    if (automation.cron, automation.time_zone) != (known.cron, known.time_zone):
        return f"automations.yaml says another time for {known.name!r} by now, which is being taken up"
    return None


def _open(settings: Settings, until: float) -> Store:
    """The store; one that has gone away for a moment is waited for."""
    try:
        return open_store(settings)
    except StoreUnavailable as error:
        if not error.is_passing or not wait_for_store(settings, until=until):
            raise
    return open_store(settings)


def _take_all(
    store: Store, automation: Automation, complain: Callable[[str], None], until: float, sources: Sources
) -> tuple[list[str], Look]:
    """Claim the files that have stopped growing, as many as time allows; returns the imports and what is left."""
    seen = see_waiting(store, [automation], complain, sources)
    if not seen:
        return [], {}
    time.sleep(settle_pause(store))
    ids: list[str] = []
    while True:
        taken, left = take_seen(store, [automation], seen, complain=complain, until=until, sources=sources)
        ids += taken
        # Only as many are taken at once; those that have grown since are not waited for.
        seen = {path: state for path, state in left.items() if seen.get(path) == state}
        if not taken or not seen or time.monotonic() > until:
            return ids, left


def _raise_if_silent(automation: Automation, sources: Sources) -> None:
    source = automation.source
    if isinstance(source, RemoteLocation) and source.address in sources.given_up:
        raise SourceUnavailable(sources.given_up[source.address])


def _left(left: Look, automation: Automation) -> Sequence[str]:
    if not left:
        return []
    names = ", ".join(sorted(Path(path).name for path in left)[:20])
    more = f" and {len(left) - 20} more" if len(left) > 20 else ""
    return [
        f"still being written, or too many for one tick: {names}{more}; they wait for the next tick of {automation.name}"
    ]
