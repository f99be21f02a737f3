"""What lies at many sources: those elsewhere are listed at the same time, and none is waited for without end."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from engage_etl.errors import SourceUnavailable
from engage_etl.sources.opening import Sources
from engage_etl.sources.storage import FileState
from engage_etl.vocabulary.locations import Location, RemoteLocation

Listed = list[tuple[str, FileState]] | SourceUnavailable | OSError
"""Names and states of the files of a source, or why it cannot be listed."""

_LONGEST = 15.0
"""Seconds that all sources together may take to be listed; a tick has 60."""
_AT_ONCE = 16


def list_sources(sources: Sources, folders: Sequence[Location]) -> list[Listed]:
    """List folders; what comes of each stands at the same place as the folder."""
    here = [folder for folder in folders if not isinstance(folder, RemoteLocation)]
    found: dict[Location, Listed] = {folder: _list(sources, folder) for folder in here}
    elsewhere: dict[str, list[RemoteLocation]] = {}
    for folder in folders:
        if isinstance(folder, RemoteLocation):
            elsewhere.setdefault(folder.address, []).append(folder)
    return [found[folder] for folder in folders] if not elsewhere else _gathered(sources, folders, found, elsewhere)


def _gathered(
    sources: Sources,
    folders: Sequence[Location],
    found: dict[Location, Listed],
    elsewhere: dict[str, list[RemoteLocation]],
) -> list[Listed]:
    """Ask each address in a thread of its own; one that takes too long is left to its own limits."""
    pool = ThreadPoolExecutor(_AT_ONCE, "listing")
    asked = {address: pool.submit(_list_all, sources, below) for address, below in elsewhere.items()}
    done, _ = wait(asked.values(), timeout=_LONGEST)
    pool.shutdown(wait=False, cancel_futures=True)
    for address, future in asked.items():
        late = SourceUnavailable(
            f"{address} took more than {_LONGEST:g} seconds to be listed; it is asked again later."
        )
        found |= future.result() if future in done else dict.fromkeys(elsewhere[address], late)
    return [found[folder] for folder in folders]


def _list_all(sources: Sources, folders: list[RemoteLocation]) -> dict[Location, Listed]:
    return {folder: _list(sources, folder) for folder in folders}


def _list(sources: Sources, folder: Location) -> Listed:
    try:
        return sources.at(folder).list_files(folder)
    except (SourceUnavailable, OSError) as error:
        return error
