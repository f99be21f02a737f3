"""The outbox of notifications: each occurrence once, floods gathered, failures retried with growing pauses and given up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from engage_etl.errors import ImportEnded
from engage_etl.store.engine import Store
from engage_etl.store.imports import import_lock, mark_failed, update_import
from engage_etl.store.notifications import (
    begin_message,
    enter_notifications,
    give_up,
    mark_sent,
    unsent,
)
from engage_etl.store.tables import notification
from engage_etl.vocabulary.outcomes import Status
from engage_etl_tests.importing import Importing

NOW = datetime(2030, 1, 1, tzinfo=UTC)
"""Later than everything that these tests do; the clock of the outbox is given to it."""
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def failed(importing: Importing) -> list[str]:
    """Two imports that failed, the earlier first."""
    ids = [importing.register("x", name=f"{name}.csv") for name in ("first", "second")]
    for import_id in ids:
        fail(importing.store, import_id)
    return ids


def fail(store: Store, import_id: str) -> None:
    with store.engine.begin() as connection:
        mark_failed(connection, import_id, ImportEnded("it failed"))


def enter(
    store: Store, *names: str, now: datetime = NOW, since: datetime = BEGINNING, status: Status = Status.FAILED
) -> None:
    with store.engine.begin() as connection:
        enter_notifications(connection, {status: since}, names or ("mailto",), now)


def begin(store: Store, now: datetime = NOW, name: str = "mailto") -> int | None:
    with store.engine.begin() as connection:
        return begin_message(connection, name, now)


def waiting(store: Store, name: str = "mailto") -> list[str]:
    with store.engine.connect() as connection:
        return [occurrence.import_id for occurrence in unsent(connection, name)]


def sent(store: Store, now: datetime = NOW, name: str = "mailto") -> None:
    with store.engine.begin() as connection:
        mark_sent(connection, name, list(unsent(connection, name)), now)


def given_up(store: Store, now: datetime) -> dict[str, int]:
    with store.engine.begin() as connection:
        return give_up(connection, now)


def entered(store: Store) -> int:
    with store.engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(notification)) or 0


def test_what_failed_is_entered_once_for_each_destination(store: Store, failed: Sequence[str]) -> None:
    enter(store, "mailto", "slack")
    enter(store, "mailto", "slack")
    assert entered(store) == 4
    assert waiting(store) == waiting(store, "slack") == failed


def test_what_was_sent_waits_no_more_and_is_never_entered_again(store: Store, failed: Sequence[str]) -> None:
    enter(store, "mailto", "slack")
    sent(store)
    enter(store, "mailto", "slack", "json")
    assert (waiting(store), waiting(store, "slack"), waiting(store, "json")) == ([], failed, [])


def test_what_happened_before_is_not_told(store: Store, failed: Sequence[str]) -> None:
    enter(store, since=NOW)
    assert entered(store) == 0
    enter(store, status=Status.STOPPED)
    assert entered(store) == 0


def test_an_import_that_fails_again_is_told_again(store: Store, failed: Sequence[str]) -> None:
    enter(store)
    sent(store)
    fail(store, failed[0])
    enter(store)
    assert waiting(store) == [failed[0]]


def test_what_is_no_longer_so_is_not_told(store: Store, failed: Sequence[str]) -> None:
    with store.engine.begin() as connection:
        update_import(connection, failed[0], status=Status.WAITING_FOR_APPROVAL, ended_at=None, planned_at=func.now())
    enter(store, status=Status.WAITING_FOR_APPROVAL)
    assert waiting(store) == [failed[0]]
    with store.engine.begin() as connection:
        update_import(connection, failed[0], status=Status.APPLIED, ended_at=func.now())
    assert waiting(store) == []
    assert begin(store) is None
    assert given_up(store, NOW + timedelta(days=2)) == {}


def test_an_import_that_is_still_worked_on_is_told_of_later(store: Store, failed: Sequence[str]) -> None:
    with import_lock(store.engine, failed[0]):
        enter(store)
    assert waiting(store) == [failed[1]]
    enter(store)
    assert waiting(store) == list(failed)


def test_after_a_message_there_is_a_minute_in_which_others_are_gathered(
    store: Store, failed: Sequence[str], importing: Importing
) -> None:
    enter(store)
    assert begin(store) == 0
    sent(store)
    for number in range(3):
        fail(store, importing.register("x", name=f"{number}.csv"))
    enter(store)
    assert begin(store, NOW + 0.9 * MINUTE) is None
    assert begin(store, NOW + MINUTE) == 0
    assert len(waiting(store)) == 3


def test_nothing_is_begun_where_nothing_waits(store: Store) -> None:
    enter(store)
    assert begin(store) is None


def test_while_a_message_is_being_sent_nobody_else_sends_it(store: Store, failed: Sequence[str]) -> None:
    enter(store)
    with store.engine.begin() as one, store.engine.begin() as other:
        assert begin_message(one, "mailto", NOW) == 0
        assert begin_message(other, "mailto", NOW) is None
    assert begin(store) is None


def test_pauses_grow_up_to_an_hour_and_a_success_ends_them(store: Store, failed: Sequence[str]) -> None:
    enter(store)
    now, pauses = NOW, []
    for failures in range(9):
        assert begin(store, now) == failures
        earlier = now
        while begin_would_wait(store, now):
            now += MINUTE
        pauses.append((now - earlier) / MINUTE)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert begin(store, now) == 9
    sent(store, now)
    fail(store, failed[0])
    enter(store)
    assert begin(store, now + MINUTE) == 0


def begin_would_wait(store: Store, now: datetime) -> bool:
    """Whether it is too soon; nothing is begun by asking."""
    with store.engine.connect() as connection, connection.begin() as transaction:
        found = begin_message(connection, "mailto", now)
        transaction.rollback()
    return found is None


def test_one_destination_that_fails_keeps_no_other_waiting(store: Store, failed: Sequence[str]) -> None:
    enter(store, "mailto", "slack")
    assert begin(store) == 0
    assert begin(store) is None
    assert begin(store, name="slack") == 0


def test_after_a_day_it_is_given_up_and_counted(store: Store, failed: Sequence[str]) -> None:
    enter(store, "mailto", "slack")
    sent(store, name="slack")
    assert given_up(store, NOW + timedelta(hours=23)) == {}
    assert given_up(store, NOW + timedelta(hours=24)) == {"mailto": 2}
    assert waiting(store) == []
    assert given_up(store, NOW + timedelta(hours=25)) == {}
    enter(store, "mailto", "slack")
    assert entered(store) == 4


def test_more_than_fits_into_one_message_is_in_the_next(
    store: Store, failed: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engage_etl.store.notifications.MOST_AT_ONCE", 1)
    enter(store)
    assert waiting(store) == [failed[0]]
    sent(store)
    assert waiting(store) == [failed[1]]
