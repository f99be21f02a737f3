"""Apply in a thread while a test does something else on the same store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from engage_etl.store.imports import Import
from engage_etl_tests.importing import STAGES, Importing

LONGEST = 60.0
APPLY = STAGES[3:]


@contextmanager
def applied_beside(importing: Importing, entry: Import) -> Iterator[Future[Import]]:
    """Apply a planned import in a thread; what the test holds must be released when it ends."""
    with ThreadPoolExecutor(1) as thread:
        yield thread.submit(importing.run, entry.import_id, APPLY)


def wait_until(what: str, condition: Callable[[], bool]) -> None:
    """Look again and again; a limit in time ends a test that hangs."""
    deadline = time.monotonic() + LONGEST
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)
