"""The sensor ``notifications``: it tells people of imports that failed, were stopped, or wait for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import TYPE_CHECKING

from dagster import DefaultSensorStatus, SensorDefinition, SensorEvaluationContext, SensorResult, sensor

from engage_etl.errors import EngageError
from engage_etl.settings import Settings
from engage_etl.triggers.destinations import are_configured
from engage_etl.vocabulary.outcomes import Status

if TYPE_CHECKING:
    from engage_etl.triggers.notifying import Round

NOTIFICATIONS = "notifications"
DESCRIPTION = """
Tells the addresses in ENGAGE_NOTIFY of imports that have come to a status of ENGAGE_NOTIFY_ON, whoever started them.
Several at once are told of in one message. What a service does not accept is tried again.
"""
_SECONDS_BETWEEN_ROUNDS = 15
_PATIENCE = 2.0
"""Seconds that a tick waits for its round; the daemon looks at no drop folder meanwhile."""
_TOLD_IN_RETROSPECT = timedelta(hours=1)
"""When a status is told of for the first time, so is what came to it in the hour before."""


def notifications_sensor(settings: Settings) -> SensorDefinition:
    """The sensor; on by default where somebody is to be told."""
    rounds = Rounds()

    @sensor(
        name=NOTIFICATIONS,
        minimum_interval_seconds=_SECONDS_BETWEEN_ROUNDS,
        default_status=DefaultSensorStatus.RUNNING if are_configured(settings) else DefaultSensorStatus.STOPPED,
        description=DESCRIPTION,
    )
    def notifications(context: SensorEvaluationContext) -> SensorResult:
        if not are_configured(settings):
            return SensorResult(skip_reason="ENGAGE_NOTIFY is not set, so nobody is told", cursor="{}")
        now = datetime.now(UTC)
        since = statuses_since(context.cursor, settings.notified_statuses, now)
        try:
            done = rounds.go_on(lambda: _round(settings, since, now), _PATIENCE)
        except EngageError as error:
            return SensorResult(skip_reason=str(error), cursor=as_cursor(since))
        if done is None:
            return SensorResult(skip_reason="a message is being sent", cursor=as_cursor(since))
        for sentence in done.failed:
            context.log.warning(sentence)
        reason = "; ".join([*done.failed, *done.sent]) or "there is nothing to tell"
        return SensorResult(skip_reason=reason, cursor=as_cursor(since))

    return notifications


class Rounds:
    """Rounds, one after the other, in a thread: a mail server that does not answer keeps no other sensor waiting."""

    def __init__(self) -> None:
        self._going_on: Future[Round] | None = None

    def go_on(self, begin: Callable[[], Round], patience: float) -> Round | None:
        """What a round did, or None if it takes longer than the patience, in seconds; then the next call goes on with it.

        Raises:
            EngageError: as the round.
        """
        if self._going_on is None:
            self._going_on = _in_thread(begin)
        wait([self._going_on], patience)
        if not self._going_on.done():
            return None
        ended, self._going_on = self._going_on, None
        return ended.result()


def _in_thread(work: Callable[[], Round]) -> Future[Round]:
    """Do something in a thread that keeps no process from ending."""
    future: Future[Round] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - whoever asks for the result is told
            future.set_exception(error)

    Thread(target=run, name=NOTIFICATIONS, daemon=True).start()
    return future


def _round(settings: Settings, since: Mapping[Status, datetime], now: datetime) -> Round:
    # Loaded at the first tick: the web server shows the sensor and never needs the store.
    from engage_etl.store.engine import open_store
    from engage_etl.triggers.notifying import tell

    with open_store(settings) as store:
        return tell(store, since, now)


def statuses_since(cursor: str | None, statuses: Sequence[Status], now: datetime) -> dict[Status, datetime]:
    """From which moment on each status is told of: remembered, or an hour ago for one that is new."""
    known: dict[str, str] = json.loads(cursor or "{}")
    return {
        status: datetime.fromisoformat(known[status]) if status in known else now - _TOLD_IN_RETROSPECT
        for status in statuses
    }


def as_cursor(since: Mapping[Status, datetime]) -> str:
    """What ``statuses_since`` reads at the next tick."""
    return json.dumps({status.value: moment.isoformat() for status, moment in since.items()})
