"""``engage-etl notifications test``: it says where the test message went, without secrets."""

from __future__ import annotations

import pytest

from engage_etl.settings import Settings
from engage_etl_tests.cli.commands import engage_etl
from engage_etl_tests.scenarios.service import free_port
from engage_etl_tests.triggers.receiving import PASSWORD, TOKEN, mail_server, webhook


def test_it_sends_and_says_where_to(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with mail_server(free_port()) as mail, webhook() as hook:
        monkeypatch.setenv("ENGAGE_NOTIFY", f"{mail.address}\n{hook.address}")
        ended = engage_etl(settings, "notifications", "test")
        assert ended.code == 0, ended.err
        assert [line.split() for line in ended.out.splitlines()[1:]] == [
            ["mailto", "E-Mail", "at", "127.0.0.1", "sent"],
            ["json", "JSON", "at", "127.0.0.1", "sent"],
        ]
        expected = ("Engage ETL: test message", "This is a test. Notifications of imports will arrive here.")
        assert [(subject, body.rstrip("\n")) for subject, body in mail.texts()] == [expected]
        assert hook.texts() == [expected]
    assert not [secret for secret in (PASSWORD, TOKEN) if secret in ended.out + ended.err]


def test_one_that_refuses_is_named_with_the_reason(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with webhook() as hook, webhook() as other:
        hook.answer = 500
        monkeypatch.setenv("ENGAGE_NOTIFY", f"{hook.address} {other.address} slack://{TOKEN}")
        ended = engage_etl(settings, "notifications", "test", "--json")
    assert ended.code == 1
    first, second, third = ended.json
    assert (first["destination"], first["to"], first["sent"]) == ("json", "JSON at 127.0.0.1", False)
    assert first["error"].startswith("The message to json was not accepted: ") and "500" in first["error"]
    assert second == {"destination": "json 2", "to": "JSON at 127.0.0.1", "sent": True, "error": None}
    assert (third["to"], third["sent"]) == (None, False) and "slack in ENGAGE_NOTIFY cannot be used" in third["error"]
    assert TOKEN not in ended.out + ended.err


def test_without_addresses_it_says_so(settings: Settings) -> None:
    ended = engage_etl(settings, "notifications", "test")
    assert (ended.code, ended.out) == (2, "")
    assert "ENGAGE_NOTIFY is not set" in ended.err
