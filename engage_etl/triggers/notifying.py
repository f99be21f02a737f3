"""One round of notifications: enter what is new, send what waits, note what was sent.

Whatever a mail server does, imports go on: they are told of from the register, after they have ended. A service that
does not accept a message is tried again after pauses that grow, and given up for an import after a day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from engage_etl.errors import NotificationNotSent
from engage_etl.reports.notification_texts import Told, notification_text, partition_link
from engage_etl.store.engine import Store
from engage_etl.store.imports import find_file
from engage_etl.store.notifications import (
    Occurrence,
    begin_message,
    enter_notifications,
    give_up,
    mark_sent,
    unsent,
)
from engage_etl.triggers.destinations import Destination, destinations
from engage_etl.vocabulary.outcomes import Status


@dataclass
class Round:
    """What a round did, in sentences. sent: who was told of how much; failed: what could not be sent."""

    sent: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def tell(store: Store, since: Mapping[Status, datetime], now: datetime) -> Round:
    """Tell all destinations of the imports that they have not been told of yet.

    since: the statuses that are told of, each with the moment from which on it is.

    Raises:
        UsageError: ENGAGE_NOTIFY holds something that is no address.
        SecretsUnusable: the secrets file cannot be used.
    """
    told = destinations(store.settings)
    with store.engine.begin() as connection:
        enter_notifications(connection, since, [destination.name for destination in told], now)
    done = Round()
    for destination in told:
        _tell_one(store, destination, now, done)
    with store.engine.begin() as connection:
        given_up = give_up(connection, now)
    done.failed += [
        f"{name} is not told of {_imports(count)}, as it could not be reached for a day"
        for name, count in given_up.items()
    ]
    return done


def _tell_one(store: Store, destination: Destination, now: datetime, done: Round) -> None:
    with store.engine.begin() as connection:
        failures = begin_message(connection, destination.name, now)
    if failures is None:
        return
    waiting, told = _waiting(store, destination)
    try:
        destination.send(notification_text(told))
    except NotificationNotSent as error:
        done.failed.append(f"{error} ({_imports(len(told))}, attempt {failures + 1}; it is tried again)")
        return
    with store.engine.begin() as connection:
        mark_sent(connection, destination.name, waiting, now)
    done.sent.append(f"{destination.name} was told of {_imports(len(told))}")


def _waiting(store: Store, destination: Destination) -> tuple[list[Occurrence], list[Told]]:
    """What a destination is yet to be told, and how it is told."""
    web_url = store.settings.web_url
    with store.engine.connect() as connection:
        waiting = unsent(connection, destination.name)
        told = [
            Told(entry, partition_link(web_url, entry, is_kept=find_file(connection, entry.import_id) is not None))
            for entry in waiting.values()
        ]
    return list(waiting), told


def _imports(count: int) -> str:
    return "1 import" if count == 1 else f"{count:,} imports"
