"""Statements that take too long are ended with a sentence; imports may take as long as there are rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from engage_etl.settings import Settings
from engage_etl.store.engine import Store, open_store
from engage_etl.store.outages import is_connection_lost, is_over_time, outage
from engage_etl.store.sessions import TimeLimits
from engage_etl_tests.cli.commands import engage_etl
from engage_etl_tests.importing import GROUP, Importing
from engage_etl_tests.waiting import wait_for

LIMITS = "SELECT current_setting('statement_timeout'), current_setting('idle_in_transaction_session_timeout')"
KEPT = "LOCK TABLE engage.contact IN ACCESS EXCLUSIVE MODE"


def limits_of(settings: Settings, limits: TimeLimits | None = None) -> Any:
    with open_store(settings, limits) as store, store.engine.connect() as connection:
        return tuple(connection.execute(text(LIMITS)).one())


def test_those_who_look_and_bulk_work(settings: Settings) -> None:
    assert limits_of(settings) == ("0", "10min")
    assert limits_of(settings, TimeLimits.of_looking(settings)) == ("1min", "10min")
    given = {"statement_timeout": 5, "bulk_statement_timeout": 7200, "idle_transaction_timeout": 0}
    own = settings.model_copy(update=given)
    assert limits_of(own) == ("2h", "0")
    assert limits_of(own, TimeLimits.of_looking(own)) == ("5s", "0")


def test_bulk_work_is_not_ended_by_what_a_server_has_for_all(store: Store, settings: Settings) -> None:
    with store.engine.begin() as connection:
        connection.execute(text(f'ALTER DATABASE "{store.engine.url.database}" SET statement_timeout = 10'))
    assert limits_of(settings)[0] == "0"


def test_a_command_that_looks_ends_with_a_sentence(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGAGE_STATEMENT_TIMEOUT", "0.3")
    with store.engine.begin() as other:
        other.execute(text(KEPT))
        ended = engage_etl(settings, "contacts", "show", "--identifier", "1")
    assert ended.code == 1 and "Traceback" not in ended.err
    assert "A statement took longer than it may (canceling statement due to statement timeout)" in ended.err
    assert "ENGAGE_STATEMENT_TIMEOUT=0.3" in ended.err and "allow more seconds, then run the command again" in ended.err


def test_an_import_ends_with_a_sentence_where_bulk_work_has_a_limit(
    importing: Importing, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGAGE_BULK_STATEMENT_TIMEOUT", "2")
    source = tmp_path / "crm.csv"
    source.write_text("user.Email,user.Identifier\nann@x.org,1\n")
    command = ("import", source, "--group", GROUP, "--use-external-identifier", "--json")
    with importing.store.engine.begin() as other:
        other.execute(text(KEPT))
        ended = engage_etl(settings, *command)
    assert (ended.code, ended.json["status"]) == (1, "failed"), ended.err
    assert "took longer than it may" in ended.json["error"]["message"]
    assert "ENGAGE_BULK_STATEMENT_TIMEOUT=2" in ended.json["error"]["message"]
    assert engage_etl(settings, *command).json["status"] == "applied"


def test_figures_for_monitoring_end_with_a_sentence(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engage_etl.triggers import web_server

    own = settings.model_copy(update={"statement_timeout": 0.3})
    monkeypatch.setattr(web_server, "load_settings", lambda: own)
    with store.engine.begin() as other:
        other.execute(text("LOCK TABLE engage.import_register IN ACCESS EXCLUSIVE MODE"))
        answer = web_server._metrics(None)  # type: ignore[arg-type]
    assert answer.status_code == 503 and b"took longer than it may" in bytes(answer.body)
    assert web_server._metrics(None).status_code == 200  # type: ignore[arg-type]


def test_a_transaction_that_waits_for_us_too_long_is_ended(store: Store, settings: Settings) -> None:
    own = settings.model_copy(update={"idle_transaction_timeout": 0.2})
    with open_store(own) as impatient, impatient.engine.connect() as idle:
        pid = idle.scalar(text("SELECT pg_backend_pid()"))

        def is_gone() -> bool:
            with store.engine.connect() as other:
                query = text("SELECT 1 FROM pg_stat_activity WHERE pid = :pid")
                return other.scalar(query, {"pid": pid}) is None

        wait_for("its end", is_gone)
        with pytest.raises(OperationalError, match="idle-in-transaction timeout") as raised:
            idle.execute(text("SELECT 1"))
        assert is_connection_lost(raised.value) and not is_over_time(raised.value)


def test_a_server_that_takes_no_writes_any_more_counts_as_lost(store: Store) -> None:
    with store.engine.connect() as connection:
        connection.execute(text("SET TRANSACTION READ ONLY"))
        with pytest.raises(OperationalError, match="read-only transaction") as raised:
            connection.execute(text("DELETE FROM engage.contact"))
        assert connection.invalidated and is_connection_lost(raised.value)


def test_a_statement_that_took_too_long_is_not_tried_again(settings: Settings) -> None:
    with open_store(settings, TimeLimits(0.1, 0)) as store, store.engine.connect() as connection:
        with pytest.raises(OperationalError) as raised:
            connection.execute(text("SELECT pg_sleep(60)"))
        assert is_over_time(raised.value) and not is_connection_lost(raised.value)
        assert "allow more seconds, then look" in str(outage(raised.value, settings, "look"))
