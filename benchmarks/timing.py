"""What one run of one program took."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Timing:
    """One run of one program. seconds: of its process; peak_mb: resident memory of its processes, None: not asked.

    steps: seconds by step; counts: rows by outcome; details: anything else that explains it.
    """

    seconds: float
    steps: dict[str, float]
    peak_mb: float | None = None
    counts: dict[str, int] = field(default_factory=dict)
    details: dict[str, float] = field(default_factory=dict)
