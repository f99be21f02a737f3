"""Waiting for a store whose connection was lost: with growing pauses, for so long as the settings allow."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from sqlalchemy.exc import OperationalError

from engage_etl.errors import StoreUnavailable
from engage_etl.settings import Settings
from engage_etl.store.engine import open_store
from engage_etl.store.outages import is_connection_lost


def pauses(settings: Settings, tried: int = 0) -> Iterator[float]:
    """Seconds before each further try, twice as long each time. tried: how many there were already."""
    for number in range(tried, settings.connection_retries):
        yield settings.connection_retry_pause * 2**number


def wait_for_store(settings: Settings, tried: int = 0, until: float = math.inf) -> bool:
    """Wait until the store can be opened again; False if it cannot within the tries that are left.

    tried: how many tries there were already; until: by the monotonic clock, not longer than that.

    Raises:
        StoreError: it cannot be opened for a reason that does not pass.
    """
    for pause in pauses(settings, tried):
        if time.monotonic() + pause > until:
            return False
        time.sleep(pause)
        if _opens(settings):
            return True
    return False


def _opens(settings: Settings) -> bool:
    try:
        open_store(settings).dispose()
    except (StoreUnavailable, OperationalError) as error:
        if not is_connection_lost(error):
            raise
        return False
    return True
