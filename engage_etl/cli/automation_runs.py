"""``engage-etl automations run``: what waits at a source is imported now, one file after the other."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select
from sqlalchemy.exc import OperationalError

from engage_etl.cli.import_runs import run_registered
from engage_etl.cli.progress import import_progress
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, find_import, lock_key
from engage_etl.triggers.arrivals import Look, see_waiting, settle_pause, take_seen
from engage_etl.triggers.automations import Automation
from engage_etl.triggers.resources import ReportedProgress


def import_what_waits(store: Store, automation: Automation, complain: Callable[[str], None]) -> list[Import]:
    """Import what waits at the source now, in the order of modification time, then name; returns how each ended.

    Each file is claimed when it is its turn, so that after Ctrl-C the others still lie where they were.

    complain: told of what cannot be taken.
    """
    automation = replace(automation, is_active=True)
    seen = see_waiting(store, [automation], complain)
    if not seen:
        return []
    time.sleep(settle_pause(store))
    ids: list[str] = []
    with import_progress([Path(path).name for path in seen]) as progress:
        goes_on = True
        while goes_on and seen:
            taken, left = take_seen(store, [automation], seen, most=1, until=math.inf, complain=complain)
            if not taken:
                break
            ids += taken
            goes_on = _run(store, taken, progress)
            # What has arrived since is not meant.
            seen = {path: state for path, state in left.items() if path in seen}
    for name in _names(seen):
        complain(f"{name} is left where it is: it is still being written, or cannot be taken")
    with store.engine.connect() as connection:
        return [find_import(connection, import_id) for import_id in ids]


def _names(seen: Look) -> list[str]:
    return sorted(Path(path).name for path in seen)


def _run(store: Store, ids: list[str], progress: ReportedProgress) -> bool:
    """Run the imports of one file; whether the next may follow."""
    with _reserved(store, ids) as release:
        for import_id in ids:
            release(import_id)
            with store.engine.connect() as connection:
                entry = find_import(connection, import_id)
            if not run_registered(store, [entry], progress):
                return False
    return True


@contextmanager
def _reserved(store: Store, ids: list[str]) -> Iterator[Callable[[str], None]]:
    """Hold the locks of imports until it is their turn: to the sensor they are alive, and it asks for no runs of them."""
    with store.locks.connect() as connection:
        for import_id in ids:
            connection.scalar(select(func.pg_try_advisory_lock(lock_key(import_id))))
        connection.commit()
        try:
            yield lambda import_id: _release(connection, func.pg_advisory_unlock(lock_key(import_id)))
        finally:
            _release(connection, func.pg_advisory_unlock_all())


def _release(connection: Connection, unlock: ColumnElement[Any]) -> None:
    # A server that went away meanwhile has given up the locks.
    with suppress(OperationalError):
        connection.execute(select(unlock))
        connection.commit()
