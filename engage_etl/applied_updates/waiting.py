"""Waiting for others: said after some seconds and then ever more rarely, and ended by a limit."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from engage_etl.applied_updates.lock_holders import Holder, named
from engage_etl.errors import StoreUnavailable

FIRST_SAID_AFTER = 3.0
"""Seconds of waiting that are not worth a word."""
LONGEST_SILENCE = 60.0
"""Seconds between two messages at the most."""

_log = logging.getLogger(__name__)


class Waiting:
    """One import that waits to be applied.

    file: its name, for messages; limit: seconds that writers other than imports may be in its way; clock: seconds.
    """

    def __init__(self, file: str, limit: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._file, self._limit, self._clock = file, limit, clock
        self._began = self._seen = clock()
        self._for_others = 0.0
        self._say_after = FIRST_SAID_AFTER

    def go_on(self, holders: Sequence[Holder]) -> None:
        """Count the time since the last call, and say who is in the way if that is due.

        Imports that are applied before do not count against the limit: they end by themselves.

        Raises:
            StoreUnavailable: others have been in the way longer than the limit.
        """
        now = self._clock()
        if not holders or any(not holder.is_import for holder in holders):
            self._for_others += now - self._seen
        self._seen = now
        if self._for_others > self._limit:
            raise StoreUnavailable(self._gave_up(holders))
        waited = now - self._began
        if waited >= self._say_after:
            self._say_after = waited + min(waited, LONGEST_SILENCE)
            _log.warning("%s: waiting to be applied, for %.0f s so far.%s", self._file, waited, _in_the_way(holders))

    def is_over(self) -> None:
        """Say that waiting is over, if it was said that it began."""
        if self._say_after > FIRST_SAID_AFTER:
            _log.warning("%s: applied now, after waiting for %.0f s.", self._file, self._clock() - self._began)

    def _gave_up(self, holders: Sequence[Holder]) -> str:
        return (
            f"{self._file}: others have been writing contacts for more than {self._limit:g} s, so that nothing could be "
            f"applied.{_in_the_way(holders)} Wait for their end, or end them with pg_terminate_backend, then run the "
            "import again. ENGAGE_LOCK_WAIT_LIMIT sets how long to wait."
        )


def _in_the_way(holders: Sequence[Holder]) -> str:
    return f" In the way: {named(holders)}." if holders else ""
