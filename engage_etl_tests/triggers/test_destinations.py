"""ENGAGE_NOTIFY: which addresses it holds, and that nobody sees them."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from pydantic import SecretStr

from engage_etl.errors import NotificationNotSent, SecretsUnusable, UsageError
from engage_etl.reports.notification_texts import trial_text
from engage_etl.settings import Settings, load_settings
from engage_etl.triggers.destinations import Destination, are_configured, destinations
from engage_etl.triggers.service import check_notifications
from engage_etl_tests.scenarios.service import free_port
from engage_etl_tests.triggers.receiving import PASSWORD, TOKEN, mail_server, webhook


@pytest.fixture(autouse=True)
def _as_in_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first message Apprise tells everybody; pytest listens to loggers that do not from the beginning."""
    monkeypatch.setattr(logging.getLogger("apprise"), "propagate", True)


def given(text: str) -> list[tuple[str, str]]:
    return [(found.name, found.url) for found in destinations(Settings(notify=SecretStr(text)))]


def test_addresses_are_separated_by_white_space_or_commas() -> None:
    assert given("mailto://h?to=a@x.org,b@x.org slack://a/b/c\n  json://one, JSON://two\n") == [
        ("mailto", "mailto://h?to=a@x.org,b@x.org"),
        ("slack", "slack://a/b/c"),
        ("json", "json://one"),
        ("json 2", "JSON://two"),
    ]
    assert given("") == given(" \n") == []


def test_what_is_no_address_is_named_by_its_place() -> None:
    with pytest.raises(UsageError, match=r"Address 2 of 3 in ENGAGE_NOTIFY does not begin with a kind") as raised:
        given(f"json://h {TOKEN} json://i")
    assert TOKEN not in str(raised.value)


@pytest.mark.parametrize("url", [f"slak://{TOKEN}", f"slack://{TOKEN}", f"mailto://{TOKEN}:{PASSWORD}@"])
def test_an_address_that_apprise_does_not_understand_is_not_shown(
    url: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(NotificationNotSent, match="cannot be used") as raised:
        Destination("x", url).send(trial_text())
    shown = str(raised.value) + caplog.text + "".join(capfd.readouterr())
    assert TOKEN not in shown and PASSWORD not in shown


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (f"mailto://robot:{PASSWORD}@mail.example.com?to=ops@example.org", "E-Mail at mail.example.com"),
        (f"mailto://robot:{PASSWORD}@example.com?smtp=relay.example.com", "E-Mail at relay.example.com"),
        (f"jsons://hooks.example.com/{TOKEN}", "JSON at hooks.example.com"),
        ("mailto://localhost:25?from=etl@example.com&to=ops@example.com", "E-Mail at localhost"),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops", "Slack"),
        ("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "Slack"),
        (
            "https://prod-1.westeurope.logic.azure.com:443/workflows/643e69f83c8944438d68119179a10a64/triggers/manual/paths/"
            "invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=KODuebWbDGYFr0z0eu-6Rj8aUKz7108W3wrNJ",
            "Power Automate / Workflows (for MSTeams) at prod-1.westeurope.logic.azure.com",
        ),
    ],
)
def test_where_messages_go_is_said_without_secrets(url: str, place: str) -> None:
    assert Destination("x", url).describe() == place


def test_the_reason_of_a_failure_shows_nothing_of_the_address(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    nobody = Destination("json", f"json://robot:{PASSWORD}@127.0.0.1:{free_port()}/hooks/{TOKEN}")
    with webhook() as hook:
        hook.answer = 503
        [refusing] = destinations(Settings(notify=SecretStr(hook.address)))
        said = []
        for destination in (refusing, nobody):
            with pytest.raises(NotificationNotSent) as raised:
                destination.send(trial_text())
            said.append(str(raised.value))
        assert hook.paths == [f"/hooks/{TOKEN}"]
    assert "503" in said[0] and "127.0.0.1" in said[1]
    shown = "".join(said) + caplog.text + "".join(capfd.readouterr())
    assert TOKEN not in shown and PASSWORD not in shown


def test_the_reason_of_a_failure_is_what_the_service_said() -> None:
    with mail_server(free_port()) as server:
        [destination] = destinations(Settings(notify=SecretStr(server.address)))
        server.knows_nobody = True
        with pytest.raises(NotificationNotSent, match=r"535.*Authentication credentials invalid"):
            destination.send(trial_text())
        server.knows_nobody, server.refuses = False, True
        with pytest.raises(NotificationNotSent, match=r"451.*come again"):
            destination.send(trial_text())
        assert server.received == []


def test_what_stands_for_an_address_does_not_show_it() -> None:
    settings = Settings(notify=SecretStr(f"json://h/{TOKEN}"))
    shown = f"{settings!r} {settings} {destinations(settings)!r} {settings.model_dump()} {settings.model_dump_json()}"
    assert TOKEN not in shown


def test_what_is_wrong_is_said_when_the_service_starts() -> None:
    said: list[str] = []
    check_notifications(Settings(notify=SecretStr("json://h")), said.append)
    check_notifications(Settings(), said.append)
    assert said == []
    check_notifications(Settings(notify=SecretStr(TOKEN)), said.append)
    [sentence] = said
    assert sentence.startswith("Nobody is told of imports: Address 1 of 1 in ENGAGE_NOTIFY") and TOKEN not in sentence


def in_file(tmp_path: Path, text: str, mode: int = 0o600) -> Settings:
    file = tmp_path / "secrets.yaml"
    file.write_text(text)
    file.chmod(mode)
    return Settings(secrets_file=file)


def test_the_secrets_file_does_as_well(tmp_path: Path) -> None:
    text = f"s3://bucket:\n  access-key-id: x\nnotify:\n  addresses: |\n    json://h/{TOKEN}\n    slack://a/b/c\n"
    settings = in_file(tmp_path, text)
    assert [(found.name, found.url) for found in destinations(settings)] == [
        ("json", f"json://h/{TOKEN}"),
        ("slack", "slack://a/b/c"),
    ]
    assert are_configured(settings)
    assert not are_configured(in_file(tmp_path, "")) and destinations(in_file(tmp_path, "pgp: {}\n")) == []
    assert [found.name for found in destinations(settings.model_copy(update={"notify": SecretStr("xml://h")}))] == [
        "xml"
    ]


@pytest.mark.parametrize(
    ("text", "mode", "sentence"),
    [
        (f"notify: {TOKEN}", 0o640, "can be read by others"),
        (f"notify: {TOKEN}", 0o600, "a text under addresses"),
        (f"notify:\n  adresses: {TOKEN}", 0o600, "a text under addresses"),
        (f"notify:\n  addresses: [{TOKEN}]", 0o600, "a text under addresses"),
        (f"[{TOKEN}]", 0o600, "not as expected"),
        (f"a: '{TOKEN}", 0o600, "no YAML"),
    ],
)
def test_a_secrets_file_that_cannot_be_used(tmp_path: Path, text: str, mode: int, sentence: str) -> None:
    settings = in_file(tmp_path, text, mode)
    assert are_configured(settings)
    with pytest.raises(SecretsUnusable, match=sentence) as raised:
        destinations(settings)
    assert TOKEN not in str(raised.value)


def test_a_secrets_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SecretsUnusable, match=r"cannot be read \(No such file"):
        destinations(Settings(secrets_file=tmp_path / "none.yaml"))


def test_statuses_that_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().notified_statuses == ("failed", "stopped", "waiting_for_approval")
    monkeypatch.setenv("ENGAGE_NOTIFY_ON", "applied failed")
    assert load_settings().notified_statuses == ("applied", "failed")
    monkeypatch.setenv("ENGAGE_NOTIFY_ON", "applied finished")
    with pytest.raises(UsageError, match=r"ENGAGE_NOTIFY_ON does not fit: .*'finished' is none of failed, stopped"):
        load_settings()


def test_the_address_of_the_web_page_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGE_WEB_URL", "etl.example.org")
    with pytest.raises(UsageError, match="ENGAGE_WEB_URL does not fit"):
        load_settings()
