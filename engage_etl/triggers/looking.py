"""One look at the drop folders: recover, claim what has arrived, ask for the runs that are due (R27, R40)."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dagster import AssetKey, RunRequest, SensorEvaluationContext, SensorResult

from engage_etl.sources.opening import Sources
from engage_etl.store.engine import Store
from engage_etl.triggers.arrivals import (
    Complain,
    Look,
    Seen,
    files_without_folder,
    folders_without_automation,
    take_arrivals,
    wait_for_arrival,
)
from engage_etl.triggers.automations import Automation, load_automations
from engage_etl.triggers.looking_elsewhere import Elsewhere, Rest, given_up, look_elsewhere
from engage_etl.triggers.lost_steps import end_runs_with_lost_steps
from engage_etl.triggers.outbox import APPROVAL, PRIORITY, DueRun, due_runs, settle_ended
from engage_etl.triggers.partitions import IMPORTS
from engage_etl.triggers.run_log import PRINTING
from engage_etl.triggers.runs import end_dead_runs, run_tags

_HERE, _ELSEWHERE = "here", "elsewhere"
"""Keys of the cursor: files of this machine, and all about S3 and SFTP sources."""
_LONGEST_WAIT = 5.0
"""Seconds that a tick waits for a file to be whole; Dagster ends it after 60."""
_WRITING = 1.0
"""Seconds between two looks at files that are being written."""
_PATIENCE_ELSEWHERE = 25.0
"""Seconds after which a tick asks no other source elsewhere; the one asked last may still take its time."""
PATIENCE = 4.5
"""Seconds that a tick waits for a file to arrive: the daemon begins one every five seconds at best."""


def look_once(
    context: SensorEvaluationContext, store: Store, patience: float = PATIENCE, now: float | None = None
) -> SensorResult:
    """One look; what is left alone or waits stands in the skip reason, or in the log of a look that asks for runs.

    patience: seconds that it goes on while there is nothing to do, so that a file that arrives is seen at once;
    now: seconds since the epoch, by which sources elsewhere rest.
    """
    until, moment = time.monotonic() + patience, time.time() if now is None else now
    automations, errors = load_automations(store.settings.automations_file, store.settings.root)
    # The files of the others wait for their schedules.
    on_arrival = [automation for automation in automations if not automation.is_scheduled]
    scheduled = {automation.name for automation in automations if automation.is_scheduled}
    complaints = [str(error) for error in errors]
    make_folders(automations, complaints.append)
    end_dead_runs(context.instance)
    end_runs_with_lost_steps(store, context.instance)
    seen, before = _read_cursor(context.cursor)
    refused: list[str] = []
    with Sources(store.settings, given_up(before.rests, moment), _PATIENCE_ELSEWHERE) as sources:
        settle_ended(store, complaints.append, sources)
        elsewhere = look_elsewhere(store, on_arrival, before, sources, moment)
        here = [automation for automation in on_arrival if isinstance(automation.source, Path)]
        seen = _take_settled(store, here, seen, refused.append, sources)
        due = due_runs(store, context.instance, scheduled, sources.given_up)
        # What cannot be taken would be seen to arrive again at once.
        while not due and not refused and _is_worth_a_look(here, seen, until):
            seen = _take_settled(store, here, seen, refused.append, sources)
            due = due_runs(store, context.instance, scheduled, sources.given_up)
    complaints += [*refused, *elsewhere.complaints]
    reasons = [*dict.fromkeys(complaints), *_waiting(seen | elsewhere.seen), *_left_alone(store, automations)]
    for reason in reasons if due else []:
        context.log.warning(reason)
    return SensorResult(
        run_requests=[run_request(run) for run in due],
        dynamic_partitions_requests=[IMPORTS.build_add_request([run.entry.import_id for run in due])] if due else [],
        skip_reason=None if due else "; ".join(reasons) or "no file has arrived",
        cursor=_as_cursor(seen, elsewhere),
    )


def make_folders(automations: Sequence[Automation], complain: Complain) -> None:
    """Make the sources that are folders and do not exist."""
    for automation in automations:
        if not isinstance(automation.source, Path):
            continue
        try:
            automation.source.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            complain(f"the source {automation.source} of {automation.name!r} cannot be used ({error.strerror})")


def _take_settled(
    store: Store, automations: list[Automation], before: Look, complain: Complain, sources: Sources
) -> Look:
    """Take what has stopped growing; files seen for the first time are looked at again before the tick ends.

    Returns:
        What was seen and is still growing.
    """
    _, seen = take_arrivals(store, automations, before, complain=complain, sources=sources)
    if seen and store.settings.settle_time <= _LONGEST_WAIT:
        # The daemon looks every five seconds at best, and most files are whole when they are seen first.
        time.sleep(store.settings.settle_time)
        _, seen = take_arrivals(store, automations, seen, complain=complain, sources=sources)
    return seen


def _is_worth_a_look(automations: Sequence[Automation], seen: Look, until: float) -> bool:
    """Wait for what makes another look worth it: a file has arrived, or those being written may be whole by now.

    until: by the monotonic clock; false after that.
    """
    left = until - time.monotonic()
    if left <= 0:
        return False
    if seen:
        time.sleep(min(left, _WRITING))
        return True
    return wait_for_arrival(automations, left)


def _waiting(seen: Look) -> list[str]:
    return [f"{len(seen)} {'file is' if len(seen) == 1 else 'files are'} still being written or next"] if seen else []


def _left_alone(store: Store, automations: list[Automation]) -> list[str]:
    drop_folder = store.settings.drop_dir
    alone: list[str] = []
    with suppress(OSError):  # a folder that may not be read, or is taken away while it is looked at
        alone += [
            f"no automation has the folder {drop_folder.name}/{name} as its source; its files are left alone"
            for name in folders_without_automation(drop_folder, automations)
        ]
        alone += [
            f"{drop_folder.name}/{name} lies in no automation's folder and is left alone"
            for name in files_without_folder(drop_folder, automations)
        ]
    return alone


def run_request(run: DueRun) -> RunRequest:
    """A run as Dagster is asked for it."""
    # Another run of an import comes before the first runs of those that arrived later (R40).
    tags = run_tags(run.entry) | ({PRIORITY: str(run.priority)} if run.priority else {})
    if run.approval is None:
        return RunRequest(run_key=run.run_key, partition_key=run.entry.import_id, tags=tags, run_config=PRINTING)
    return RunRequest(
        run_key=run.run_key,
        partition_key=run.entry.import_id,
        tags=tags | {APPROVAL: str(run.approval.approval_id)},
        # Whole, it would make another plan; by itself, this stage applies what is approved and nothing else.
        asset_selection=[AssetKey("applied_updates")],
        run_config=PRINTING,
    )


def _as_cursor(seen: Mapping[str, Seen], elsewhere: Elsewhere) -> str:
    files = {place: asdict(state) for place, state in seen.items()}
    return json.dumps({_HERE: files, _ELSEWHERE: asdict(elsewhere)})


def _read_cursor(cursor: str | None) -> tuple[Look, Elsewhere]:
    """What the tick before saw; a cursor of an older version is as good as none."""
    found = json.loads(cursor or "{}")
    elsewhere = found.get(_ELSEWHERE, {})
    return _as_look(found.get(_HERE, {})), Elsewhere(
        seen=_as_look(elsewhere.get("seen", {})),
        rests={address: Rest(**rest) for address, rest in elsewhere.get("rests", {}).items()},
        complaints=elsewhere.get("complaints", []),
    )


def _as_look(found: Mapping[str, Any]) -> Look:
    return {place: Seen(**state) for place, state in found.items()}
