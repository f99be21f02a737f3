"""Whether the files of scheduled automations came: judged by their cron lines and the register of imports."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from sqlalchemy import Connection, func, select

from engage_etl.store.tables import import_register
from engage_etl.triggers.automations import Automation
from engage_etl.triggers.cron import ticks_before

LONGEST_GRACE = timedelta(minutes=15)
"""How long after its time a file may be registered; half of the time between two, where those are close together."""


@dataclass(frozen=True)
class Due:
    """The latest time of an automation that is over. at: that time; counts_from: files count that were registered since."""

    at: datetime
    counts_from: datetime


@dataclass(frozen=True)
class FileVerdict:
    """Whether a file came. due: the time that was judged, None: there was none yet; finding: a sentence for people."""

    automation: str
    is_late: bool
    finding: str
    due: datetime | None = None
    latest: datetime | None = None


def latest_due(automation: Automation, now: datetime) -> Due | None:
    """The latest time of a scheduled automation whose grace is over."""
    if automation.cron is None:
        return None
    # In UTC: between two moments of one time zone Python counts by the clock on the wall, also when that is changed.
    times = (at.astimezone(UTC) for at in ticks_before(automation.cron, automation.time_zone, now))
    for at, before in pairwise(times):
        grace = min(LONGEST_GRACE, (at - before) / 2)
        if at + grace <= now:
            # What was imported by hand meanwhile is not there any more when the time comes.
            return Due(at, before + grace)
    return None


def latest_files(connection: Connection) -> dict[str, datetime]:
    """For each automation when the latest of its files was registered, in one statement."""
    columns = import_register.c
    query = (
        select(columns.automation, func.max(columns.received_at))
        .where(columns.automation.is_not(None), columns.reverts.is_(None))
        .group_by(columns.automation)
    )
    return dict(connection.execute(query).tuples().all())


def why_nothing_is_due(automation: Automation, since: datetime | None, now: datetime) -> FileVerdict | None:
    """Why no file of a scheduled automation is to be judged yet; None if one is. since: when its schedule went on, None: it is off."""
    if not automation.is_active:
        return FileVerdict(automation.name, False, f"{automation.name} is not active, and no file is expected.")
    if since is None:
        return FileVerdict(automation.name, False, f"{automation.name}: its schedule is off, and no file is expected.")
    due = latest_due(automation, now)
    if due is None or due.at < since:
        return FileVerdict(automation.name, False, f"{automation.name}: its first time is yet to come, or just was.")
    return None


def judge(automation: Automation, latest: datetime | None, now: datetime) -> FileVerdict:
    """Whether the file came for the latest time of a scheduled automation. latest: when one was registered last."""
    due = latest_due(automation, now)
    assert due is not None, "some time was before"
    name, at = automation.name, _in_words(due.at, automation)
    if latest is not None and latest >= due.counts_from:
        found = f"{name}: the file for {at} came; the latest was registered {_in_words(latest, automation)}."
        return FileVerdict(name, False, found, due.at, latest)
    before = f"the latest was registered {_in_words(latest, automation)}" if latest else "there never was one"
    return FileVerdict(
        name,
        True,
        f"{name}: no file came for {at}; {before}. Ask those who send it; when it lies in {automation.source}, import it "
        f"with `engage-etl automations run {name}`, or leave it to the next time.",
        due.at,
        latest,
    )


def _in_words(moment: datetime, automation: Automation) -> str:
    from zoneinfo import ZoneInfo

    return f"{moment.astimezone(ZoneInfo(automation.time_zone)):%Y-%m-%d %H:%M} ({automation.time_zone})"


def as_moment(timestamp: float) -> datetime:
    """Seconds since the epoch as a moment."""
    return datetime.fromtimestamp(timestamp, UTC)
