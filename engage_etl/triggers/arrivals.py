"""Files that arrive at the sources: wait until they are whole, claim each once, find them again after a crash (R27, R40).

Claiming has three steps, and a process may be killed after each: a row in the register, not claimed; the file moved
into ``.claimed/<import id>/`` beside it; the row marked as claimed. ``recover_claims`` looks in both places. S3 moves in
two steps, a copy and a deletion, and is killed in between as well.

A file that cannot be taken is complained of and left where it is; the others go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError

from engage_etl.errors import SourceRefused, SourceUnavailable
from engage_etl.raw_file.arrival import register_arrival
from engage_etl.raw_file.handing_over import hand_over
from engage_etl.sources.local import visible_files
from engage_etl.sources.opening import Sources
from engage_etl.sources.storage import FileState, Storage
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, find_import, list_imports, mark_claimed
from engage_etl.store.tables import import_register
from engage_etl.triggers.automations import Automation
from engage_etl.triggers.listing import Listed, list_sources
from engage_etl.vocabulary.locations import Location, read_location
from engage_etl.vocabulary.outcomes import Status

_MOST_AT_ONCE = 500
"""Files claimed in one look, so that it stays far below the 60 seconds of a tick; the others are next."""
_LONGEST_CLAIMING = 15.0
"""Seconds after which a look begins no other claim elsewhere; the others are next."""
_LONGEST_NAME = 250
"""Bytes of a file name; file systems allow 255."""
_PAUSE = 0.2
"""Seconds between two lists of the folders while nothing is there."""
_LONGEST_PAUSE = 20.0
"""Seconds; a tick of a schedule has 60."""
_ONE_LOOK_AT_A_TIME = func.hashtextextended("engage-etl arrivals", 0)


@dataclass(frozen=True)
class Seen:
    """A file as it was seen. size: bytes; modified: nanoseconds; since: seconds since the epoch, unchanged since then."""

    size: int
    modified: int
    since: float


Look = dict[str, Seen]
"""What was seen at the sources, by location."""

Complain = Callable[[str], None]
"""Is told, in a sentence, what cannot be done; it will be tried again."""


@dataclass(frozen=True)
class _Arrival:
    """A file that lies at the source of an automation."""

    file: Location
    state: FileState
    automation: Automation
    storage: Storage[Any]


def keep_quiet(_: str) -> None:
    """Complain to nobody."""


def take_arrivals(
    store: Store,
    automations: list[Automation],
    before: Mapping[str, Seen],
    now: float | None = None,
    complain: Complain = keep_quiet,
    sources: Sources | None = None,
) -> tuple[list[str], Look]:
    """Claim the files that have stopped growing, in the order of modification time, then name.

    before: what the look before this one saw; now: seconds since the epoch; complain: told of what cannot be taken;
    sources: those that are open already.

    Returns:
        The ids of the imports registered, and what was seen and is not taken yet.
    """
    if sources is None:
        with Sources(store.settings) as opened:
            return take_arrivals(store, automations, before, now, complain, opened)
    moment = time.time() if now is None else now
    with _only_look(store) as is_ours:
        if not is_ours:
            return [], dict(before)
        recover_claims(store, complain, sources)
        return _Taking(store, sources, complain, before, moment, store.settings.settle_time).take(automations)


def see_waiting(
    store: Store, automations: Sequence[Automation], complain: Complain = keep_quiet, sources: Sources | None = None
) -> Look:
    """What lies at the sources now, the first of the two looks that claiming takes. sources: those that are open already."""
    if sources is None:
        with Sources(store.settings) as opened:
            return see_waiting(store, automations, complain, opened)
    return _Taking(store, sources, complain, {}, time.time(), settle_pause(store)).see(automations)


def settle_pause(store: Store) -> float:
    """Seconds between the two looks of those who have no time to come again: a tick of a schedule, a command."""
    return min(store.settings.settle_time, _LONGEST_PAUSE)


def take_seen(
    store: Store,
    automations: list[Automation],
    seen: Mapping[str, Seen],
    *,
    most: int = _MOST_AT_ONCE,
    until: float,
    complain: Complain = keep_quiet,
    sources: Sources | None = None,
) -> tuple[list[str], Look]:
    """Claim the files that are as they were seen ``settle_pause`` ago, as ``take_arrivals`` does.

    most: files; until: by the monotonic clock, how long it waits while somebody else looks; sources: those that are open
    already.

    Returns:
        The ids of the imports registered, and what is not taken.
    """
    if sources is None:
        with Sources(store.settings) as opened:
            return take_seen(store, automations, seen, most=most, until=until, complain=complain, sources=opened)
    with _only_look(store, until) as is_ours:
        if not is_ours:
            complain("another process has been looking at the drop folders all the time; try again")
            return [], dict(seen)
        recover_claims(store, complain, sources)
        taking = _Taking(store, sources, complain, seen, time.time(), settle_pause(store), only_seen=True)
        return taking.take(automations, most)


@contextmanager
def _only_look(store: Store, until: float = 0.0) -> Iterator[bool]:
    """Whether nobody else looks in this moment, nor will while this lasts. until: by the monotonic clock, wait so long."""
    with store.locks.connect() as connection:
        while not (is_ours := bool(connection.scalar(select(func.pg_try_advisory_lock(_ONE_LOOK_AT_A_TIME))))):
            if time.monotonic() >= until:
                break
            time.sleep(_PAUSE)
        connection.commit()
        try:
            yield is_ours
        finally:
            if is_ours:
                connection.scalar(select(func.pg_advisory_unlock(_ONE_LOOK_AT_A_TIME)))


def wait_for_arrival(automations: Sequence[Automation], patience: float) -> bool:
    """Wait until there is a local file to be taken, which costs no more than to list folders; False if none comes in time.

    patience: seconds.
    """
    until = time.monotonic() + patience
    while not any(_has_arrivals(automation) for automation in automations):
        if time.monotonic() > until:
            return False
        time.sleep(_PAUSE)
    return True


def recover_claims(store: Store, complain: Complain = keep_quiet, sources: Sources | None = None) -> None:
    """Finish the claims that a killed process began."""
    if sources is None:
        with Sources(store.settings) as opened:
            return recover_claims(store, complain, opened)
    with store.engine.connect() as connection:
        begun = list_imports(connection, statuses=(Status.RECEIVED,), is_claimed=False)
    for entry in begun:
        source = read_location(entry.source_path)
        with _complaints(source, complain, sources):
            _finish_claim(store, sources.at(source), entry)


def folders_without_automation(drop_folder: Path, automations: list[Automation]) -> list[str]:
    """Names of drop folders that hold files and belong to no automation; they are left alone."""
    owned = {automation.source.resolve() for automation in automations}
    if not drop_folder.is_dir():
        return []
    found = sorted(folder for folder in drop_folder.iterdir() if folder.is_dir() and folder.resolve() not in owned)
    return [folder.name for folder in found if visible_files(folder)]


def files_without_folder(drop_folder: Path, automations: list[Automation]) -> list[str]:
    """Names of files that lie in the folder of the drop folders itself; they are left alone."""
    if any(automation.source.resolve() == drop_folder.resolve() for automation in automations):
        return []
    return sorted(file.name for file in visible_files(drop_folder))


@dataclass(frozen=True)
class _Taking:
    """One look: what was seen before it, and when it is.

    settle_time: seconds without growth; only_seen: whether only what was seen before may be taken, and not what came since.
    """

    store: Store
    sources: Sources
    complain: Complain
    before: Mapping[str, Seen]
    now: float
    settle_time: float
    only_seen: bool = False

    def see(self, automations: Sequence[Automation]) -> Look:
        return {str(arrival.file): self._see(arrival) for arrival in self._arrivals(automations)}

    def take(self, automations: Sequence[Automation], most: int = _MOST_AT_ONCE) -> tuple[list[str], Look]:
        taken: list[str] = []
        seen: Look = {}
        until = time.monotonic() + _LONGEST_CLAIMING
        for arrival in sorted(self._arrivals(automations), key=lambda one: (one.state.modified, one.file.name)):
            with _complaints(arrival.file, self.complain, self.sources), suppress(FileNotFoundError):
                # Not found: taken back by its sender meanwhile.
                has_time = isinstance(arrival.file, Path) or time.monotonic() < until
                state = self._see(arrival)
                if has_time and len(taken) < most and self._is_whole(arrival, state):
                    taken.extend(_claim(self.store, arrival))
                else:
                    seen[str(arrival.file)] = state
        return taken, seen

    def _arrivals(self, automations: Sequence[Automation]) -> Iterator[_Arrival]:
        """The files of all active automations that their patterns fit."""
        active = [automation for automation in automations if automation.is_active]
        listed = list_sources(self.sources, [automation.source for automation in active])
        for automation, found in zip(active, listed, strict=True):
            with _complaints(automation.source, self.complain, self.sources):
                for name, state in _files(found):
                    if not fnmatchcase(name, automation.pattern):
                        continue
                    if problem := _problem(name):
                        self.complain(f"{name!a} in {automation.source} has a name that {problem}; rename it.")
                        continue
                    yield _Arrival(automation.source / name, state, automation, self.sources.at(automation.source))

    def _see(self, arrival: _Arrival) -> Seen:
        state, before = arrival.state, self.before.get(str(arrival.file))
        is_same = before is not None and (before.size, before.modified) == (state.size, state.modified)
        return Seen(state.size, state.modified, before.since if before is not None and is_same else self.now)

    def _is_whole(self, arrival: _Arrival, seen: Seen) -> bool:
        was_seen = str(arrival.file) in self.before
        if arrival.storage.are_files_whole:
            return was_seen or not self.only_seen
        return (
            was_seen
            and self.now - seen.since >= self.settle_time
            and not arrival.storage.is_being_written(arrival.file)
        )


def _has_arrivals(automation: Automation) -> bool:
    source = automation.source
    if not automation.is_active or not isinstance(source, Path):
        return False
    with suppress(OSError):
        names = (file.name for file in visible_files(source))
        return any(fnmatchcase(name, automation.pattern) and not _problem(name) for name in names)
    return False


def _files(listed: Listed) -> list[tuple[str, FileState]]:
    """The files of a source.

    Raises:
        SourceUnavailable, OSError: what came of listing it.
    """
    if isinstance(listed, Exception):
        raise listed
    return listed


def _problem(name: str) -> str | None:
    """What keeps a name from being used on this machine."""
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        return "is no UTF-8"
    if "\0" in name or len(name.encode()) > _LONGEST_NAME:
        return f"is longer than {_LONGEST_NAME} bytes or has a zero byte"
    return None


@contextmanager
def _complaints(place: Location, complain: Complain, sources: Sources) -> Iterator[None]:
    """Turn what a source refuses into a sentence, so that it does not stop the others."""
    try:
        yield
    except SourceUnavailable as error:
        complain(str(error))
        if not isinstance(error, SourceRefused):
            sources.give_up(place, error)
    except OSError as error:
        complain(f"{place} cannot be taken ({error.strerror or error}); let this account read, rename and write there.")
    except (ValueError, OverflowError) as error:
        complain(f"{place} cannot be taken: its modification time is out of range ({error}).")


def _claim(store: Store, arrival: _Arrival) -> list[str]:
    """Register and claim a file; returns the ids of its imports: several, if it is an archive (R26).

    None, if somebody else is at it.
    """
    modified = datetime.fromtimestamp(arrival.state.modified / 1e9, UTC)
    try:
        with store.engine.begin() as connection:
            ids = register_arrival(
                connection,
                store.settings,
                arrival.file,
                arrival.automation.options,
                automation=arrival.automation.name,
                modified_at=modified,
                storage=arrival.storage,
                state=arrival.state,
            )
            entries = [find_import(connection, import_id) for import_id in ids]
    except IntegrityError:
        return []
    return [entry.import_id for entry in entries if _finish_claim(store, arrival.storage, entry)]


def _finish_claim(store: Store, storage: Storage[Any], entry: Import) -> bool:
    """Move the file to where it waits, unless it is there already; without a file there is no arrival.

    Returns:
        Whether the file is there; the register forgets an import whose file is not.

    Raises:
        OSError, SourceUnavailable: the file cannot be moved, or not be handed over; the next look finishes that.
    """
    source, claimed = read_location(entry.source_path), entry.arrived_path
    state = FileState.read(entry.source_state) if entry.source_state is not None else None
    try:
        is_there = storage.move(source, claimed, state)
    except (OSError, SourceRefused):
        # A copy at S3 whose source cannot be deleted stays as it is, not claimed, so that it is never imported twice.
        if storage.find(claimed) is None:
            _forget(store, entry)
        raise
    if not is_there:
        _forget(store, entry)
        return False
    hand_over(store, entry)
    with store.engine.begin() as connection:
        mark_claimed(connection, entry.import_id)
    return True


def _forget(store: Store, entry: Import) -> None:
    columns = import_register.c
    with store.engine.begin() as connection:
        # Not if another process has finished the claim meanwhile.
        connection.execute(delete(import_register).where(columns.import_id == entry.import_id, ~columns.is_claimed))
    if isinstance(entry.arrived_path, Path):
        with suppress(OSError):
            entry.arrived_path.parent.rmdir()
