"""R31, R32: whatever lock another program holds, applying waits for it, says who it is, and then applies all of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text

from engage_etl.applied_updates import locks, waiting
from engage_etl.applied_updates import stage as applying
from engage_etl.applied_updates.exclusive import exclusive_transaction
from engage_etl.errors import StoreUnavailable
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import
from engage_etl_tests.applied_updates.beside import APPLY, applied_beside
from engage_etl_tests.importing import GROUP, Importing, as_csv
from engage_etl_tests.waiting import wait_for

HEADER = ("user.Identifier", "user.Email", "user.CustomAttribute.colour")
ROWS = (("1", "new@x.org", "red"), ("2", "b@x.org", ""), ("3", "c@x.org", "blue"))
WRITER = "the CRM at night"

LOCKS = {
    "rows for update": "SELECT * FROM engage.contact WHERE identifier = '1' FOR UPDATE",
    "rows for share": "SELECT * FROM engage.contact WHERE identifier = '1' FOR SHARE",
    "rows against a change of their keys": "SELECT * FROM engage.contact WHERE identifier = '1' FOR KEY SHARE",
    "rows that the import does not touch": "SELECT * FROM engage.contact WHERE identifier = '2' FOR UPDATE",
    "a contact": "UPDATE engage.contact SET first_name = 'Held' WHERE identifier = '2'",
    "a membership": "DELETE FROM engage.membership WHERE contact_id = (SELECT min(contact_id) FROM engage.contact)",
    "a new custom attribute": "INSERT INTO engage.custom_attribute (name_key, name, type) "
    "VALUES ('colour', 'Colour', 'string')",
    "the group": f"SELECT * FROM engage.contact_group WHERE name = '{GROUP}' FOR UPDATE",
    "the whole table": "LOCK TABLE engage.contact IN SHARE UPDATE EXCLUSIVE MODE",
    "all memberships": "LOCK TABLE engage.membership IN SHARE ROW EXCLUSIVE MODE",
}


@pytest.fixture(autouse=True)
def says_so_at_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """And looks sooner who is in the way; with 0.7 s it still waits long enough for what the tests do meanwhile."""
    monkeypatch.setattr(waiting, "FIRST_SAID_AFTER", 0.0)
    monkeypatch.setattr(locks, "_LONGEST_REQUEST", 700)
    caplog.set_level(logging.WARNING)


@pytest.fixture
def planned(importing: Importing) -> Import:
    """A plan that changes contact 1, changes nothing of contact 2 and creates contact 3."""
    importing.seed(as_csv(("user.Email", "user.Identifier"), ("a@x.org", "1"), ("b@x.org", "2")))
    return importing.plan(as_csv(HEADER, *ROWS))


@pytest.fixture
def other(importing: Importing) -> Iterator[Connection]:
    """A connection of another program, in a transaction."""
    with importing.store.engine.connect() as connection:
        connection.execute(text("SELECT set_config('application_name', :name, true)"), {"name": WRITER})
        yield connection


def of_waiting(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in caplog.messages if "waiting to be applied" in message]


def asks_for_a_lock(store: Store) -> bool:
    """Whether a transaction of this database waits for one right now."""
    query = (
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')"
    )
    with store.engine.connect() as connection:
        return bool(connection.scalar(text(query)))


@pytest.mark.parametrize("name", list(LOCKS))
def test_r32_applying_waits_and_names_who_holds_the_lock(
    importing: Importing, planned: Import, other: Connection, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    other.execute(text(LOCKS[name]))
    with applied_beside(importing, planned) as applied:
        try:
            wait_for("it is said who is in the way", lambda: bool(of_waiting(caplog)) or applied.done(), pause=0.02)
        finally:
            other.commit()
        assert (applied.result().status, applied.result().rows) == ("applied", 3)
    pid, user = other.execute(text("SELECT pg_backend_pid(), current_user")).one()
    assert of_waiting(caplog)[0].startswith("contacts.csv: waiting to be applied")
    assert f"process {pid} ({WRITER}, user {user}, idle in transaction since 20" in of_waiting(caplog)[0]
    assert "contacts.csv: applied now, after waiting" in caplog.text
    assert importing.column("email") == [("new@x.org",), ("b@x.org",), ("c@x.org",)]


def test_r32_a_reader_is_no_hindrance(
    importing: Importing, planned: Import, other: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    other.execute(text("SELECT * FROM engage.contact, engage.membership")).all()
    assert importing.run(planned.import_id, APPLY).status == "applied"
    assert caplog.messages == []


@pytest.mark.parametrize("name", ["rows for update", "the group"])
def test_r32_past_the_limit_it_stops_and_running_it_again_completes(
    importing: Importing, planned: Import, other: Connection, name: str
) -> None:
    other.execute(text(LOCKS[name]))
    before = importing.contacts(history=True)
    impatient = Store(importing.store.engine, importing.store.settings.model_copy(update={"lock_wait_limit": 0.1}))
    with pytest.raises(StoreUnavailable) as stopped:
        applying.apply_updates(impatient, planned.import_id)
    assert f"In the way: process {other.connection.driver_connection.info.backend_pid}" in str(stopped.value)  # type: ignore[union-attr]
    assert "run the import again" in str(stopped.value)
    assert importing.entry(planned.import_id) == planned
    assert importing.contacts(history=True) == before
    other.rollback()
    assert importing.run(planned.import_id, APPLY).status == "applied"
    assert importing.column("email") == [("new@x.org",), ("b@x.org",), ("c@x.org",)]


def test_r32_a_waiting_import_keeps_no_other_writer_waiting(
    importing: Importing, planned: Import, other: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """Once it is known who is in the way, nobody has to queue behind the import's request."""
    other.execute(text(LOCKS["rows for update"]))
    with applied_beside(importing, planned) as applied:
        try:
            wait_for("it is said who is in the way", lambda: bool(of_waiting(caplog)), pause=0.02)
            for _ in range(20):
                with importing.store.engine.begin() as third:
                    third.execute(text("SET LOCAL lock_timeout = '100ms'"))
                    third.execute(text("UPDATE engage.contact SET nickname = nickname || 'x' WHERE identifier = '2'"))
        finally:
            other.commit()
        assert applied.result().status == "applied"


def test_r32_a_second_import_waits_for_the_first_and_names_it(
    importing: Importing, planned: Import, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        exclusive_transaction(importing.store, file="big.csv") as first,
        applied_beside(importing, planned) as applied,
    ):
        try:
            wait_for("it is said who is in the way", lambda: bool(of_waiting(caplog)), pause=0.02)
            assert "(engage-etl applying big.csv, user " in of_waiting(caplog)[0]
        finally:
            first.rollback()
        assert applied.result().status == "applied"


# Each of these takes a lock, then another one that the import has or asks for meanwhile.
CHANGE = "UPDATE engage.contact SET nickname = 'x'"
ORDERS = {
    "membership, then contact": (LOCKS["a membership"], CHANGE),
    "membership, then its contact": (
        "LOCK TABLE engage.membership IN ROW EXCLUSIVE MODE",
        "SELECT * FROM engage.contact FOR KEY SHARE",
    ),
    "contact, then membership": (LOCKS["a contact"], "UPDATE engage.membership SET unsubscribed_at = NULL"),
    "rows for update, then their change": (LOCKS["rows for update"], CHANGE),
    "attribute, then contact": (LOCKS["a new custom attribute"], CHANGE),
    "group, then contact": (LOCKS["the group"], CHANGE),
}


@pytest.mark.parametrize("name", list(ORDERS))
def test_r32_no_order_of_locks_is_a_deadlock(
    importing: Importing, planned: Import, other: Connection, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    first, then = ORDERS[name]
    other.execute(text(first))
    with applied_beside(importing, planned) as applied:
        try:
            wait_for("the import asks for a lock", lambda: asks_for_a_lock(importing.store), pause=0.02)
            other.execute(text(then))
        finally:
            other.rollback()
        assert applied.result().status == "applied"
    assert "stood in the way" not in caplog.text  # as of a deadlock that ended the import's first attempt
    assert importing.column("email", "nickname") == [("new@x.org", None), ("b@x.org", None), ("c@x.org", None)]


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_r31_whatever_isolation_the_server_starts_transactions_with(
    importing: Importing, planned: Import, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What was committed while the import waited is seen, though its transaction began before."""
    with importing.store.engine.begin() as connection:
        database = connection.scalar(text("SELECT current_database()"))
        connection.execute(text(f"ALTER DATABASE {database} SET default_transaction_isolation = '{level}'"))
    importing.store.engine.dispose()
    with importing.store.engine.connect() as other:
        other.execute(text("UPDATE engage.contact SET email = 'z@x.org', email_key = 'z@x.org' WHERE identifier = '2'"))
        with applied_beside(importing, planned) as applied:
            try:
                wait_for("the import asks for a lock", lambda: asks_for_a_lock(importing.store), pause=0.02)
            finally:
                other.commit()
            assert (applied.result().status, applied.result().drifted) == ("applied", 1)
    assert importing.column("email") == [("new@x.org",), ("b@x.org",), ("c@x.org",)]
