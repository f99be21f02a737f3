"""How the many modules of an import are loaded quickly."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_loading() -> Iterator[None]:
    """Load modules without the garbage collector, which would look at everything loaded so far again and again.

    It takes no notice of what was loaded later on either, since that stays; and processes forked later go on sharing it.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
