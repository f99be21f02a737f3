"""People are told of imports once, by a mail server and a webhook, whatever these do meanwhile; and of no secrets (R41)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from pydantic import SecretStr

from engage_etl.errors import FileError
from engage_etl.settings import Settings
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, update_import
from engage_etl.triggers import notifications, notifying
from engage_etl.triggers.notifications import notifications_sensor, statuses_since
from engage_etl.triggers.notifying import Round, tell
from engage_etl.vocabulary.outcomes import Status
from engage_etl_tests.importing import Importing
from engage_etl_tests.scenarios.service import free_port
from engage_etl_tests.triggers.receiving import PASSWORD, TOKEN, MailServer, Webhook, mail_server, webhook
from engage_etl_tests.waiting import wait_for

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
NOW = datetime(2030, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ALL = dict.fromkeys((Status.FAILED, Status.STOPPED, Status.WAITING_FOR_APPROVAL, Status.APPLIED), BEGINNING)


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with mail_server(free_port()) as server:
        yield server


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as opened:
        yield opened


@pytest.fixture
def told(store: Store, mail: MailServer, hook: Webhook) -> Store:
    """The store of an installation that tells both."""
    return telling(store, mail.address, hook.address)


def telling(store: Store, *addresses: str) -> Store:
    return replace(store, settings=with_notify(store.settings, *addresses))


def with_notify(settings: Settings, *addresses: str) -> Settings:
    return settings.model_copy(update={"notify": SecretStr(" ".join(addresses)), "web_url": "https://etl.example.org"})


def fail(
    importing: Importing, content: str = "user.Identifier,user.Emial\n1,a\n", name: str = "contacts.csv"
) -> Import:
    import_id = importing.register(content, name=name)
    with pytest.raises(FileError):
        importing.run(import_id)
    return importing.entry(import_id)


def go(store: Store, now: datetime = NOW) -> Round:
    return tell(store, ALL, now)


def failure_text(import_id: str) -> str:
    return f"""\
contacts.csv failed.

contacts.csv: there is no attribute 'user.Emial' (column 2 of the header); expected a name like user.Email. \
Correct the header and import the file again. Did you mean 'user.Email'?

Group: Newsletter
Automation: none, imported by hand

What to do: nothing was applied. Put right what is said above, then import the file again.

Web page: https://etl.example.org/assets/validated_rows?view=partitions&partition={import_id}
Report: reports/{import_id}, in the data folder
Import: {import_id}
"""


def test_a_failed_import_is_told_word_by_word_and_once(
    importing: Importing, told: Store, mail: MailServer, hook: Webhook
) -> None:
    entry = fail(importing)
    assert go(told).sent == ["mailto was told of 1 import", "json was told of 1 import"]
    assert mail.texts() == [("Engage ETL: contacts.csv failed", failure_text(entry.import_id))]
    assert hook.texts() == [("Engage ETL: contacts.csv failed", failure_text(entry.import_id).rstrip("\n"))]
    assert hook.received[0]["type"] == "failure"
    assert (mail.received[0]["To"], mail.logins) == ("ops@example.org", [("robot", PASSWORD)])
    assert go(told, NOW + MINUTE) == Round()
    assert len(mail.received) == len(hook.received) == 1


def test_waiting_stopped_and_applied_imports_are_told(importing: Importing, told: Store, hook: Webhook) -> None:
    applied = importing("user.Identifier,user.Email\n1,a@x.org\n", name="applied.csv")
    waiting = importing.plan("user.Identifier,user.Email\n2,b@x.org\n", name="waiting.csv")
    with told.engine.begin() as connection:
        update_import(connection, waiting.import_id, status=Status.WAITING_FOR_APPROVAL)
    go(told)
    [(subject, body)] = hook.texts()
    assert subject == "Engage ETL: 2 imports: 1 waiting for approval, 1 applied"
    assert "1. waiting.csv (by hand, group Newsletter) waits for approval.\n" in body
    assert f"`engage-etl imports approve {waiting.import_id}`" in body
    assert f"/assets/match_plan?view=partitions&partition={waiting.import_id}\n" in body
    assert "2. applied.csv (by hand, group Newsletter) was applied.\nRows: 1 (1 created, 0 updated," in body
    assert f"/assets/applied_updates?view=partitions&partition={applied.import_id}" in body


def test_r41_nothing_personal_is_told(importing: Importing, told: Store, mail: MailServer, hook: Webhook) -> None:
    columns = "user.Identifier,user.Email,user.FirstName,user.DateOfBirth,user.CustomAttribute.a\n"
    importing.seed("user.Email,user.Identifier\nswordfish@x.org,7\n")
    rows = "".join(f"{n},swordfish..{n}@x.org,Swordfish,swordfish,swordfish\n" for n in range(12))
    importing(columns + "7,swordfish@y.org,Swordfish,1984-02-29,swordfish\n8,swordfish@y.org,,,\n" + rows,
              max_rejected="100%")  # fmt: skip
    fail(importing, "Swordfish;swordfish@x.org\nx;y\n", name="headerless.csv")
    fail(importing, '<userdata><user><email>swordfish</email>"swordfish"</userdata>', name="broken.xml")
    go(told)
    everything = str(mail.texts()) + str(hook.received)
    assert "headerless.csv" in everything and "broken.xml" in everything and "address_invalid" in everything
    assert "swordfish" not in everything.lower()


def test_a_flood_is_one_message(importing: Importing, told: Store, mail: MailServer, hook: Webhook) -> None:
    entry = fail(importing)
    for number in range(199):
        other = importing.register("x", name=f"{number}.csv")
        with told.engine.begin() as connection:
            update_import(connection, other, status=Status.FAILED, error_message="x", ended_at=entry.ended_at)
    assert go(told).sent == ["mailto was told of 200 imports", "json was told of 200 imports"]
    assert [subject for subject, _ in mail.texts()] == ["Engage ETL: 200 imports: 200 failed"]
    assert len(hook.received) == 1


def test_a_mail_server_that_refuses_is_tried_again_and_the_webhook_is_told_once(
    importing: Importing, told: Store, mail: MailServer, hook: Webhook
) -> None:
    mail.refuses = True
    fail(importing)
    done = go(told)
    assert done.sent == ["json was told of 1 import"]
    [said] = done.failed
    assert said.startswith("The message to mailto was not accepted: ")
    assert said.endswith("(1 import, attempt 1; it is tried again)") and PASSWORD not in said
    assert go(told, NOW + 0.5 * MINUTE) == Round()
    mail.refuses = False
    assert go(told, NOW + MINUTE).sent == ["mailto was told of 1 import"]
    assert (len(mail.received), len(hook.received)) == (1, 1)


def test_what_cannot_be_sent_for_a_day_is_given_up_with_a_warning(
    importing: Importing, told: Store, mail: MailServer
) -> None:
    mail.refuses = True
    fail(importing)
    go(told)
    done = go(told, NOW + timedelta(days=1))
    assert done.failed[-1] == "mailto is not told of 1 import, as it could not be reached for a day"
    mail.refuses = False
    assert go(told, NOW + timedelta(days=2)) == Round()
    assert mail.received == []


def test_several_daemons_at_once_tell_once(importing: Importing, told: Store, mail: MailServer, hook: Webhook) -> None:
    for number in range(5):
        fail(importing, name=f"{number}.csv")
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(go, [told] * 4))
    assert sorted(sentence for one in done for sentence in one.sent) == [
        "json was told of 5 imports",
        "mailto was told of 5 imports",
    ]
    assert len(mail.received) == len(hook.received) == 1


class Killed(BaseException):
    """The process ends here."""


def be_killed(*_: object) -> None:
    raise Killed


def test_a_crash_between_sending_and_noting_tells_twice_and_never_not_at_all(
    importing: Importing, told: Store, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = telling(told, hook.address)
    fail(importing)
    with monkeypatch.context() as patched:
        patched.setattr(notifying, "mark_sent", be_killed)
        with pytest.raises(Killed):
            go(told)
    assert len(hook.received) == 1
    assert go(told, NOW + 0.9 * MINUTE) == Round()
    go(told, NOW + MINUTE)
    assert go(told, NOW + 2 * MINUTE) == Round()
    assert [subject for subject, _ in hook.texts()] == ["Engage ETL: contacts.csv failed"] * 2


def test_a_crash_before_sending_loses_nothing(
    importing: Importing, told: Store, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = telling(told, hook.address)
    fail(importing)
    with monkeypatch.context() as patched:
        patched.setattr(notifying, "notification_text", be_killed)
        with pytest.raises(Killed):
            go(told)
    assert go(told, NOW + MINUTE).sent == ["json was told of 1 import"]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, a tick waits until its round has ended."""
    monkeypatch.setattr(notifications, "_PATIENCE", 60.0)


def tick(sensor: dg.SensorDefinition, instance: dg.DagsterInstance, cursor: str | None = None) -> dg.SensorResult:
    with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
        result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def reason(result: dg.SensorResult) -> str:
    assert result.skip_reason is not None
    return str(result.skip_reason.skip_message)


@pytest.mark.usefixtures("patient")
def test_the_sensor_tells(
    importing: Importing, instance: dg.DagsterInstance, dagster_settings: Settings, hook: Webhook
) -> None:
    entry = fail(importing)
    importing("user.Identifier,user.Email\n1,a@x.org\n", name="applied.csv")
    sensor = notifications_sensor(with_notify(dagster_settings, hook.address))
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    first = tick(sensor, instance)
    assert reason(first) == "json was told of 1 import"
    assert hook.texts() == [("Engage ETL: contacts.csv failed", failure_text(entry.import_id).rstrip("\n"))]
    assert reason(tick(sensor, instance, first.cursor)) == "there is nothing to tell"


def test_a_mail_server_that_never_answers_keeps_no_tick_waiting(
    importing: Importing, instance: dg.DagsterInstance, dagster_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "_PATIENCE", 0.05)
    fail(importing)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"mailto://127.0.0.1:{silent.getsockname()[1]}?from=etl@example.org&to=ops@example.org"
        sensor = notifications_sensor(with_notify(dagster_settings, address))
        assert reason(tick(sensor, instance)) == "a message is being sent"
        connection, _ = silent.accept()
        assert reason(tick(sensor, instance)) == "a message is being sent"
        connection.close()

    def failed() -> str | None:
        said = reason(tick(sensor, instance))
        return said if "not accepted" in said else None

    assert "1 import, attempt 1" in wait_for("the end of the round", failed)


@pytest.mark.usefixtures("patient")
def test_where_nobody_is_to_be_told_the_sensor_is_off(instance: dg.DagsterInstance, dagster_settings: Settings) -> None:
    sensor = notifications_sensor(dagster_settings)
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
    assert reason(tick(sensor, instance)) == "ENGAGE_NOTIFY is not set, so nobody is told"


@pytest.mark.usefixtures("patient")
def test_what_is_wrong_is_the_skip_reason(instance: dg.DagsterInstance, dagster_settings: Settings) -> None:
    said = reason(tick(notifications_sensor(with_notify(dagster_settings, f"//{TOKEN}")), instance))
    assert said.startswith("Address 1 of 1 in ENGAGE_NOTIFY does not begin with a kind") and TOKEN not in said
    gone = with_notify(dagster_settings, "json://h").model_copy(
        update={"database_url": "postgresql://nobody@127.0.0.1:1/engage"}
    )
    assert "does not answer" in reason(tick(notifications_sensor(gone), instance))


def test_a_status_is_told_of_from_an_hour_before_it_was_switched_on() -> None:
    before = statuses_since(None, [Status.FAILED], NOW)
    assert before == {Status.FAILED: NOW - 60 * MINUTE}
    cursor = notifications.as_cursor(before)
    assert statuses_since(cursor, [Status.FAILED, Status.APPLIED], NOW + MINUTE) == {
        Status.FAILED: NOW - 60 * MINUTE,
        Status.APPLIED: NOW - 59 * MINUTE,
    }
