"""Apply in a thread while a test does something else on the same store."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from engage_etl.store.imports import Import
from engage_etl_tests.importing import STAGES, Importing

APPLY = STAGES[3:]


@contextmanager
def applied_beside(importing: Importing, entry: Import) -> Iterator[Future[Import]]:
    """Apply a planned import in a thread; what the test holds must be released when it ends."""
    with ThreadPoolExecutor(1) as thread:
        yield thread.submit(importing.run, entry.import_id, APPLY)
