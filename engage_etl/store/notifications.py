"""The outbox of notifications: which imports are to be told of to whom, and what has been told.

A message is begun, sent and then noted as sent. Whoever is killed between the last two sends it again after a pause.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from engage_etl.store.imports import Import, find_import, is_alive
from engage_etl.store.tables import import_register, notification, notification_destination
from engage_etl.vocabulary.outcomes import Status

GATHERING = timedelta(minutes=1)
"""Time between two messages to one destination, in which what happens is gathered for the second."""
LONGEST_PAUSE = timedelta(hours=1)
"""Pauses after failures double from ``GATHERING`` up to this."""
GIVEN_UP_AFTER = timedelta(days=1)
"""Time after which a destination that cannot be reached is no longer told of an import."""
MOST_AT_ONCE = 1_000
"""Imports in one message; the others are in the next."""

_OCCURRED_AT = func.coalesce(import_register.c.ended_at, import_register.c.planned_at, import_register.c.received_at)
_KEY = (notification.c.import_id, notification.c.status, notification.c.occurred_at)
_OF_THE_IMPORT = and_(
    import_register.c.import_id == notification.c.import_id,
    import_register.c.status == notification.c.status,
    notification.c.occurred_at == _OCCURRED_AT,
)
"""What an import has come to since is told of by itself: an import that was approved does not wait any more."""
_WAITS = and_(notification.c.sent_at.is_(None), notification.c.given_up_at.is_(None))


@dataclass(frozen=True)
class Occurrence:
    """An import that has come to a status at a moment."""

    import_id: str
    status: Status
    occurred_at: datetime


def enter_notifications(
    connection: Connection, since: Mapping[Status, datetime], destinations: Sequence[str], now: datetime
) -> None:
    """Enter what the destinations are to be told; each occurrence is entered once, for the destinations there are then.

    since: the statuses that are told of, each with the moment from which on it is. An import that is still worked on,
    on its report for example, is left for the next time.
    """
    if not since or not destinations:
        return
    columns = import_register.c
    wanted = [and_(columns.status == status, moment <= _OCCURRED_AT) for status, moment in since.items()]
    is_known = exists().where(_OF_THE_IMPORT).correlate(import_register)
    query = select(columns.import_id, columns.status, _OCCURRED_AT).where(or_(*wanted), ~is_known)
    query = query.order_by(columns.import_id)  # whoever enters the same at once does so in the same order: no deadlock
    found = [Occurrence(key, Status(status), moment) for key, status, moment in connection.execute(query).tuples()]
    ready = [occurrence for occurrence in found if not is_alive(connection, occurrence.import_id)]
    _insert(connection, notification, (
        _key(occurrence) | {"destination": name, "entered_at": now} for occurrence, name in product(ready, destinations)
    ))  # fmt: skip
    _insert(connection, notification_destination, ({"destination": name, "next_at": now} for name in destinations))


def begin_message(connection: Connection, destination: str, now: datetime) -> int | None:
    """Begin a message to a destination; until the pause that follows is over, nobody else can.

    Returns:
        How many messages failed since the last one that was sent, or None if there is nothing to send or it is too soon.
    """
    columns = notification_destination.c
    is_this = columns.destination == destination
    query = select(columns.failures).where(is_this, columns.next_at <= now).with_for_update(skip_locked=True)
    failures: int | None = connection.scalar(query)
    if failures is None or not connection.scalar(select(exists().where(_OF_THE_IMPORT, *_unsent(destination)))):
        return None
    pause = min(LONGEST_PAUSE, GATHERING * 2 ** min(failures, 10))
    connection.execute(
        update(notification_destination).where(is_this).values(failures=failures + 1, next_at=now + pause)
    )
    return failures


def unsent(connection: Connection, destination: str) -> dict[Occurrence, Import]:
    """What a destination is yet to be told, the earliest first, at most ``MOST_AT_ONCE``; what is no longer so is left out."""
    query = select(*_KEY).join_from(notification, import_register, _OF_THE_IMPORT).where(*_unsent(destination))
    query = query.order_by(notification.c.occurred_at, notification.c.import_id).limit(MOST_AT_ONCE)
    found = connection.execute(query).tuples().all()
    return {Occurrence(key, Status(status), moment): find_import(connection, key) for key, status, moment in found}


def mark_sent(connection: Connection, destination: str, told: Iterable[Occurrence], now: datetime) -> None:
    """The destination has been told; its next message may follow when ``GATHERING`` is over."""
    keys = [(one.import_id, one.status, one.occurred_at) for one in told]
    these = and_(notification.c.destination == destination, tuple_(*_KEY).in_(keys))
    connection.execute(update(notification).where(these).values(sent_at=now))
    is_this = notification_destination.c.destination == destination
    connection.execute(update(notification_destination).where(is_this).values(failures=0, next_at=now + GATHERING))


def give_up(connection: Connection, now: datetime) -> dict[str, int]:
    """Give up what could not be sent for too long; returns of how many imports each destination is not told."""
    late = notification.c.entered_at <= now - GIVEN_UP_AFTER
    query = update(notification).where(_OF_THE_IMPORT, _WAITS, late).values(given_up_at=now)
    counts: dict[str, int] = {}
    for destination in connection.scalars(query.returning(notification.c.destination)):
        counts[destination] = counts.get(destination, 0) + 1
    return counts


def _unsent(destination: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return notification.c.destination == destination, _WAITS


def _key(occurrence: Occurrence) -> dict[str, Any]:
    return {
        "import_id": occurrence.import_id,
        "status": occurrence.status,
        "occurred_at": occurrence.occurred_at,
    }


def _insert(connection: Connection, table: Any, rows: Iterable[dict[str, Any]]) -> None:
    """Insert what is not there yet; another process may be doing the same."""
    values = list(rows)
    if values:
        connection.execute(insert(table).on_conflict_do_nothing(), values)
