"""Files that arrive in drop folders: wait until they are whole, claim each once, find them again after a crash (R27, R40).

Claiming has three steps, and a process may be killed after each: a row in the register, not claimed; the file renamed
into ``.claimed/<import id>/`` beside it; the row marked as claimed. ``recover_claims`` looks in both places.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import delete, func, select

from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, find_import, list_imports, mark_claimed, new_import_id, register_import
from engage_etl.store.tables import import_register
from engage_etl.triggers.automations import Automation
from engage_etl.vocabulary.outcomes import Status

CLAIMED = ".claimed"
_ONE_LOOK_AT_A_TIME = func.hashtextextended("engage-etl arrivals", 0)


@dataclass(frozen=True)
class Seen:
    """A file as it was seen. size: bytes; modified: nanoseconds; since: seconds since the epoch, unchanged since then."""

    size: int
    modified: int
    since: float


Look = dict[str, Seen]
"""What was seen in the drop folders, by path."""


def take_arrivals(
    store: Store, automations: list[Automation], before: Mapping[str, Seen], now: float | None = None
) -> tuple[list[str], Look]:
    """Claim the files that have stopped growing, in the order of modification time, then name.

    before: what the look before this one saw; now: seconds since the epoch.

    Returns:
        The ids of the imports registered, and what was seen and is not taken yet.
    """
    moment = time.time() if now is None else now
    with store.engine.connect() as connection:
        if not connection.scalar(select(func.pg_try_advisory_lock(_ONE_LOOK_AT_A_TIME))):
            return [], dict(before)
        connection.commit()
        try:
            recover_claims(store)
            return _take(store, automations, before, moment)
        finally:
            connection.scalar(select(func.pg_advisory_unlock(_ONE_LOOK_AT_A_TIME)))


def recover_claims(store: Store) -> None:
    """Finish the claims that a killed process began."""
    with store.engine.connect() as connection:
        begun = list_imports(connection, statuses=(Status.RECEIVED,), is_claimed=False)
    for entry in begun:
        _finish_claim(store, entry)


def folders_without_automation(drop_folder: Path, automations: list[Automation]) -> list[str]:
    """Names of drop folders that hold files and belong to no automation; they are left alone."""
    owned = {automation.source for automation in automations}
    if not drop_folder.is_dir():
        return []
    found = sorted(folder for folder in drop_folder.iterdir() if folder.is_dir() and folder not in owned)
    return [folder.name for folder in found if any(file.is_file() for file in folder.iterdir())]


def _take(
    store: Store, automations: list[Automation], before: Mapping[str, Seen], now: float
) -> tuple[list[str], Look]:
    taken: list[str] = []
    seen: Look = {}
    arrived = [(file, automation) for automation in automations if automation.is_active for file in _files(automation)]
    for file, automation in sorted(arrived, key=lambda arrival: _order(arrival[0])):
        with suppress(FileNotFoundError):  # taken back by its sender meanwhile
            now_seen = _see(file, before.get(str(file)), now)
            if now - now_seen.since < store.settings.settle_time or str(file) not in before:
                seen[str(file)] = now_seen
            else:
                taken.append(_claim(store, automation, file))
    return taken, seen


def _files(automation: Automation) -> list[Path]:
    if not automation.source.is_dir():
        return []
    found = automation.source.glob(automation.pattern)
    return [
        file for file in found if file.parent == automation.source and not file.name.startswith(".") and file.is_file()
    ]


def _order(file: Path) -> tuple[int, str]:
    try:
        return file.stat().st_mtime_ns, file.name
    except FileNotFoundError:
        return 0, file.name


def _see(file: Path, before: Seen | None, now: float) -> Seen:
    state = file.stat()
    is_same = before is not None and (before.size, before.modified) == (state.st_size, state.st_mtime_ns)
    return Seen(state.st_size, state.st_mtime_ns, before.since if before is not None and is_same else now)


def _claim(store: Store, automation: Automation, file: Path) -> str:
    import_id = new_import_id(file.name, automation.name)
    modified = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    with store.engine.begin() as connection:
        register_import(
            connection,
            file,
            automation.options,
            automation=automation.name,
            claimed_path=file.parent / CLAIMED / import_id / file.name,
            modified_at=modified,
            import_id=import_id,
        )
        entry = find_import(connection, import_id)
    _finish_claim(store, entry)
    return import_id


def _finish_claim(store: Store, entry: Import) -> None:
    """Move the file to where it waits, unless it is there already; without a file there is no arrival."""
    source, claimed = Path(entry.source_path), entry.arrived_path
    if not claimed.exists():
        claimed.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            source.rename(claimed)
    with store.engine.begin() as connection:
        if claimed.exists():
            mark_claimed(connection, entry.import_id)
        else:
            claimed.parent.rmdir()
            connection.execute(delete(import_register).where(import_register.c.import_id == entry.import_id))
