"""Waiting for what other processes do: looking again and again, with a limit that ends a test that hangs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from engage_etl.store.engine import Store
from engage_etl.store.imports import is_alive

Found = TypeVar("Found")
LONGEST = 150.0


def wait_for(what: str, look: Callable[[], Found | None], *, pause: float = 0.2, limit: float = LONGEST) -> Found:
    """Look until there is something to see, and return it; pause, limit: seconds."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(pause)
    raise AssertionError(f"waited {limit:g} s in vain for {what}")


def wait_until_given_up(store: Store, import_id: str) -> None:
    """Wait until the server has noticed that the process which worked on an import is gone."""

    def is_free() -> bool:
        with store.engine.connect() as connection:
            return not is_alive(connection, import_id)

    wait_for("the lock of a killed process to go", is_free, pause=0.02)
