"""How many of the machine's cores an import uses at once."""

from __future__ import annotations

import os

_MOST = 4
"""What all processes leave has to be written by one of them, and each needs 190 MB; connections share one server."""


def cores_at_hand() -> int:
    """How many processes can check, or connections load, at once here."""
    return min(len(os.sched_getaffinity(0)), _MOST)
