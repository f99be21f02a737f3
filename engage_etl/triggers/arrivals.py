"""Files that arrive in drop folders: wait until they are whole, claim each once, find them again after a crash (R27, R40).

Claiming has three steps, and a process may be killed after each: a row in the register, not claimed; the file renamed
into ``.claimed/<import id>/`` beside it; the row marked as claimed. ``recover_claims`` looks in both places.

A file that cannot be taken is complained of and left where it is; the others go on.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from sqlalchemy import delete, func, select

from engage_etl.raw_file.arrival import register_arrival
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, find_import, list_imports, mark_claimed
from engage_etl.store.tables import import_register
from engage_etl.triggers.automations import Automation
from engage_etl.vocabulary.outcomes import Status

_MOST_AT_ONCE = 500
"""Files claimed in one look, so that it stays far below the 60 seconds of a tick; the others are next."""
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
"""What was seen in the drop folders, by path."""

Complain = Callable[[str], None]
"""Is told, in a sentence, what cannot be done; it will be tried again."""


def keep_quiet(_: str) -> None:
    """Complain to nobody."""


def take_arrivals(
    store: Store,
    automations: list[Automation],
    before: Mapping[str, Seen],
    now: float | None = None,
    complain: Complain = keep_quiet,
) -> tuple[list[str], Look]:
    """Claim the files that have stopped growing, in the order of modification time, then name.

    before: what the look before this one saw; now: seconds since the epoch; complain: told of what cannot be taken.

    Returns:
        The ids of the imports registered, and what was seen and is not taken yet.
    """
    moment = time.time() if now is None else now
    with _only_look(store) as is_ours:
        if not is_ours:
            return [], dict(before)
        recover_claims(store, complain)
        return _take(store, automations, before, moment, complain)


def see_waiting(automations: Sequence[Automation], complain: Complain = keep_quiet) -> Look:
    """What lies at the sources now, the first of the two looks that claiming takes."""
    now = time.time()
    seen: Look = {}
    for _, _, file, _ in _arrivals(automations, complain):
        with suppress(FileNotFoundError):
            seen[str(file)] = _see(file, None, now)
    return seen


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
) -> tuple[list[str], Look]:
    """Claim the files that are as they were seen ``settle_pause`` ago, as ``take_arrivals`` does.

    most: files; until: by the monotonic clock, how long it waits while somebody else looks.

    Returns:
        The ids of the imports registered, and what is not taken.
    """
    with _only_look(store, until) as is_ours:
        if not is_ours:
            complain("another process has been looking at the drop folders all the time; try again")
            return [], dict(seen)
        recover_claims(store, complain)
        return _take(store, automations, seen, time.time(), complain, most=most, settle_time=settle_pause(store))


@contextmanager
def _only_look(store: Store, until: float = 0.0) -> Iterator[bool]:
    """Whether nobody else looks in this moment, nor will while this lasts. until: by the monotonic clock, wait so long."""
    with store.engine.connect() as connection:
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
    """Wait until there is a file to be taken, which costs no more than to list the folders; False if none comes in time.

    patience: seconds.
    """
    until = time.monotonic() + patience
    while not any(True for _ in _arrivals(automations, keep_quiet)):
        if time.monotonic() > until:
            return False
        time.sleep(_PAUSE)
    return True


def recover_claims(store: Store, complain: Complain = keep_quiet) -> None:
    """Finish the claims that a killed process began."""
    with store.engine.connect() as connection:
        begun = list_imports(connection, statuses=(Status.RECEIVED,), is_claimed=False)
    for entry in begun:
        with _complaints(Path(entry.source_path), complain):
            _finish_claim(store, entry)


def folders_without_automation(drop_folder: Path, automations: list[Automation]) -> list[str]:
    """Names of drop folders that hold files and belong to no automation; they are left alone."""
    owned = {automation.source.resolve() for automation in automations}
    if not drop_folder.is_dir():
        return []
    found = sorted(folder for folder in drop_folder.iterdir() if folder.is_dir() and folder.resolve() not in owned)
    return [folder.name for folder in found if _visible_files(folder)]


def files_without_folder(drop_folder: Path, automations: list[Automation]) -> list[str]:
    """Names of files that lie in the folder of the drop folders itself; they are left alone."""
    if any(automation.source.resolve() == drop_folder.resolve() for automation in automations):
        return []
    return sorted(file.name for file in _visible_files(drop_folder))


def _take(
    store: Store,
    automations: list[Automation],
    before: Mapping[str, Seen],
    now: float,
    complain: Complain,
    *,
    most: int = _MOST_AT_ONCE,
    settle_time: float | None = None,
) -> tuple[list[str], Look]:
    taken: list[str] = []
    settle_time = store.settings.settle_time if settle_time is None else settle_time
    seen: Look = {}
    for _, _, file, automation in sorted(_arrivals(automations, complain), key=lambda arrival: arrival[:2]):
        with _complaints(file, complain), suppress(FileNotFoundError):  # taken back by its sender meanwhile
            state = _see(file, before.get(str(file)), now)
            is_whole = str(file) in before and now - state.since >= settle_time
            if is_whole and len(taken) < most and not _is_open_for_writing(file):
                taken.extend(_claim(store, automation, file))
            else:
                seen[str(file)] = state
    return taken, seen


def _arrivals(automations: Sequence[Automation], complain: Complain) -> Iterator[tuple[int, str, Path, Automation]]:
    """The files of all active automations, each with its modification time in nanoseconds and its name (R40)."""
    for automation in automations:
        if not automation.is_active or not automation.source.is_dir():
            continue
        with _complaints(automation.source, complain):
            for file in _visible_files(automation.source):
                if not fnmatchcase(file.name, automation.pattern):
                    continue
                if not _is_text(file.name):
                    complain(f"{file.name!a} in {automation.source} has a name that is no UTF-8; rename it.")
                    continue
                with suppress(FileNotFoundError):
                    yield file.stat().st_mtime_ns, file.name, file, automation


def _visible_files(folder: Path) -> list[Path]:
    """Files whose name begins with a dot are not meant to be taken: many programs write such ones first."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if not entry.name.startswith(".") and entry.is_file()]


def _is_text(name: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _see(file: Path, before: Seen | None, now: float) -> Seen:
    state = file.stat()
    is_same = before is not None and (before.size, before.modified) == (state.st_size, state.st_mtime_ns)
    return Seen(state.st_size, state.st_mtime_ns, before.since if before is not None and is_same else now)


def _is_open_for_writing(file: Path) -> bool:
    """Whether some process on this machine still has the file open for writing, however long it pauses (R27).

    The kernel refuses a read lease on such a file. Where it cannot tell (another machine's file, another owner's),
    the time without growth has to do.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    with suppress(OSError), file.open("rb") as reading:
        # Whoever opens it for writing in this moment makes the kernel send a signal; this one is ignored by default.
        fcntl.fcntl(reading, getattr(fcntl, "F_SETSIG", 10), signal.SIGWINCH)
        try:
            fcntl.fcntl(reading, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            return True
        fcntl.fcntl(reading, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


@contextmanager
def _complaints(path: Path, complain: Complain) -> Iterator[None]:
    """Turn what the file system refuses into a sentence, so that one folder does not stop the others."""
    try:
        yield
    except OSError as error:
        complain(f"{path} cannot be taken ({error.strerror or error}); let this account read, rename and write there.")
    except (ValueError, OverflowError) as error:
        complain(f"{path} cannot be taken: its modification time is out of range ({error}).")


def _claim(store: Store, automation: Automation, file: Path) -> list[str]:
    """Register and claim a file; returns the ids of its imports: several, if it is an archive (R26)."""
    modified = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    with store.engine.begin() as connection:
        ids = register_arrival(
            connection, store.settings, file, automation.options, automation=automation.name, modified_at=modified
        )
        entries = [find_import(connection, import_id) for import_id in ids]
    for entry in entries:
        _finish_claim(store, entry)
    return ids


def _finish_claim(store: Store, entry: Import) -> None:
    """Move the file to where it waits, unless it is there already; without a file there is no arrival.

    Raises:
        OSError: the file cannot be moved; it stays, and the register forgets it.
    """
    source, claimed = Path(entry.source_path), entry.arrived_path
    try:
        _move_aside(source, claimed)
    finally:
        is_claimed = claimed.exists()
        with store.engine.begin() as connection:
            if is_claimed:
                mark_claimed(connection, entry.import_id)
            else:
                connection.execute(delete(import_register).where(import_register.c.import_id == entry.import_id))
        if not is_claimed:
            with suppress(OSError):
                claimed.parent.rmdir()


def _move_aside(source: Path, claimed: Path) -> None:
    if claimed.exists():
        return
    claimed.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        source.rename(claimed)
