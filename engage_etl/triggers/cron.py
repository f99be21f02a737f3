"""Cron lines as Dagster understands them, changes to and from daylight saving time included.

Dagster is loaded where a cron line is read and not before: most automations have none.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime


def cron_problem(cron: str) -> str | None:
    """What is wrong with a cron line, as the end of a sentence; None if it is right."""
    from dagster._utils.schedules import has_out_of_range_cron_interval, is_valid_cron_string
    from dagster._vendored.croniter.croniter import CroniterBadDateError

    if not is_valid_cron_string(cron):
        return "not a cron line that Dagster knows; expected minute, hour, day of month, month and day of week"
    if has_out_of_range_cron_interval(cron):
        return "it has a step that is longer than its field"
    try:
        next(ticks(cron, "UTC", datetime.now(UTC)))
    except CroniterBadDateError:
        return "there is no such day"
    return None


def ticks(cron: str, time_zone: str, after: datetime) -> Iterator[datetime]:
    """The moments of a cron line from a moment on, that moment itself among them if it is one; in its time zone."""
    from dagster._utils.schedules import cron_string_iterator

    yield from cron_string_iterator(after.timestamp(), cron, time_zone)


def ticks_before(cron: str, time_zone: str, before: datetime) -> Iterator[datetime]:
    """The moments of a cron line up to a moment, the latest first; in its time zone."""
    from dagster._utils.schedules import reverse_cron_string_iterator

    yield from reverse_cron_string_iterator(before.timestamp(), cron, time_zone)
