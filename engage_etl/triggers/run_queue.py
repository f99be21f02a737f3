"""Dagster's queue of runs, looked at often, which notes who put a run into it."""

from __future__ import annotations

from collections.abc import Mapping

from dagster._core.run_coordinator import QueuedRunCoordinator, SubmitRunContext
from dagster._core.storage.dagster_run import DagsterRun

from engage_etl.errors import UsageError
from engage_etl.settings import load_settings

SECONDS_BETWEEN_LOOKS = 0.5
"""As often as Dagster's daemon can; its configuration takes whole seconds only."""

USER = "user"
"""Tag of runs that people start on the web page: whom the reverse proxy has let in, where it says so."""


def started_by(tags: Mapping[str, str], stated: str | None) -> str | None:
    """Who has started a run: whom the proxy has let in, else the name that was stated.

    Raises:
        UsageError: somebody came past the proxy, and nobody knows who.
    """
    name = tags.get(USER, stated)
    if USER in tags and not tags[USER].strip():
        raise UsageError(
            "The reverse proxy has not said who starts this (ENGAGE_USER_HEADER), and a name that is typed does not count "
            "here; start it on the web page to which the proxy leads."
        )
    return name


class PromptRunQueue(QueuedRunCoordinator):
    """Lets the daemon look into the queue twice a second.

    Imports of one automation wait for each other (R40): when one has ended, nothing happens until the next look.
    """

    @property
    def dequeue_interval_seconds(self) -> float:  # type: ignore[override]
        """Seconds between two looks."""
        return SECONDS_BETWEEN_LOOKS

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Take a run in, with the user as a tag; one that was put into the tags by hand does not count."""
        run, header = context.dagster_run, load_settings().user_header
        if header is not None and (context.get_request_header("host") is not None or USER in run.tags):
            self._instance.add_run_tags(run.run_id, {USER: context.get_request_header(header) or ""})
        return super().submit_run(context)
