"""Dagster's queue of runs, looked at often."""

from __future__ import annotations

from dagster._core.run_coordinator import QueuedRunCoordinator

SECONDS_BETWEEN_LOOKS = 0.5
"""As often as Dagster's daemon can; its configuration takes whole seconds only."""


class PromptRunQueue(QueuedRunCoordinator):
    """Lets the daemon look into the queue twice a second.

    Imports of one automation wait for each other (R40): when one has ended, nothing happens until the next look.
    """

    @property
    def dequeue_interval_seconds(self) -> float:  # type: ignore[override]
        """Seconds between two looks."""
        return SECONDS_BETWEEN_LOOKS
