"""R32: who waits says so after some seconds, then ever more rarely, and only waits so long."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from engage_etl.applied_updates.lock_holders import Holder, named
from engage_etl.applied_updates.waiting import Waiting
from engage_etl.errors import StoreUnavailable

SINCE = datetime(2026, 11, 24, 15, 2, 11, tzinfo=timezone(timedelta(hours=1)))
WRITER = Holder("3/41", False, 4711, "psql", "ann", "idle in transaction", SINCE)
IMPORT = Holder("4/7", True, 4712, "engage-etl applying big.csv", "engage", "active", SINCE)


class Clock:
    """Seconds that pass only when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def said_at(caplog: pytest.LogCaptureFixture, seconds: int, holders: list[Holder]) -> list[int]:
    """The seconds at which something was said during a wait with a look each second."""
    clock = Clock()
    waiting = Waiting("contacts.csv", 1e6, clock)
    said = []
    for second in range(1, seconds):
        clock.now += 1
        before = len(caplog.records)
        waiting.go_on(holders)
        said += [second] * (len(caplog.records) - before)
    return said


def test_it_is_said_after_some_seconds_and_then_ever_more_rarely(caplog: pytest.LogCaptureFixture) -> None:
    assert said_at(caplog, 300, [WRITER]) == [3, 6, 12, 24, 48, 96, 156, 216, 276]
    assert caplog.messages[2] == (
        "contacts.csv: waiting to be applied, for 12 s so far. In the way: process 4711 (psql, user ann, idle in "
        "transaction since 2026-11-24 14:02:11 UTC)."
    )


def test_a_short_wait_is_not_worth_a_word(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    waiting = Waiting("contacts.csv", 600, clock)
    clock.now += 2.9
    waiting.go_on([WRITER])
    waiting.is_over()
    assert caplog.messages == []


def test_the_end_of_a_wait_is_said_if_its_beginning_was(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    waiting = Waiting("contacts.csv", 600, clock)
    clock.now += 5
    waiting.go_on([WRITER])
    waiting.is_over()
    assert caplog.messages[1:] == ["contacts.csv: applied now, after waiting for 5 s."]


def test_the_limit_ends_the_wait_and_says_what_to_do() -> None:
    clock = Clock()
    waiting = Waiting("contacts.csv", 600, clock)
    clock.now += 600
    waiting.go_on([WRITER])
    clock.now += 1
    with pytest.raises(StoreUnavailable) as stopped:
        waiting.go_on([WRITER])
    assert str(stopped.value) == (
        "contacts.csv: others have been writing contacts for more than 600 s, so that nothing could be applied. In the "
        "way: process 4711 (psql, user ann, idle in transaction since 2026-11-24 14:02:11 UTC). Wait for their end, or "
        "end them with pg_terminate_backend, then run the import again. ENGAGE_LOCK_WAIT_LIMIT sets how long to wait."
    )


def test_imports_before_it_do_not_count_against_the_limit() -> None:
    clock = Clock()
    waiting = Waiting("contacts.csv", 600, clock)
    clock.now += 3600
    waiting.go_on([IMPORT])
    clock.now += 600
    waiting.go_on([IMPORT, WRITER])
    clock.now += 1
    with pytest.raises(StoreUnavailable, match=r"applying big\.csv"):
        waiting.go_on([IMPORT, WRITER])


def test_writers_that_are_gone_at_each_look_count() -> None:
    clock = Clock()
    waiting = Waiting("contacts.csv", 600, clock)
    clock.now += 601
    with pytest.raises(StoreUnavailable, match=r"applied\. Wait for their end"):
        waiting.go_on([])


def test_what_is_not_told_about_a_session_is_left_out() -> None:
    assert str(Holder("3/41", False, 4711, "", "ann", None, None)) == "process 4711 (user ann)"
    assert str(Holder("3/41", False, 4711, None, None, None, None)) == "process 4711"
    assert str(Holder("-1/41", False, None, None, None, None, None)) == "a prepared transaction (see pg_prepared_xacts)"


def test_of_many_the_first_are_named() -> None:
    many = [Holder(f"3/{pid}", False, pid, None, None, None, None) for pid in range(1, 6)]
    assert named(many) == "process 1, process 2, process 3 and 2 more"
    assert named(many[:3]) == "process 1, process 2, process 3"
