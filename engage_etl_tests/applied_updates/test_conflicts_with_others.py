"""R30, R32: an apply that a conflict with another program ends is tried again as a whole, a few times."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from engage_etl.applied_updates import exclusive
from engage_etl.applied_updates import stage as applying
from engage_etl.applied_updates.exclusive import ATTEMPTS
from engage_etl.errors import StoreUnavailable
from engage_etl.match_plan.stage import PlanInput
from engage_etl.store.imports import Import
from engage_etl_tests.applied_updates.beside import APPLY, applied_beside
from engage_etl_tests.importing import Importing, as_csv
from engage_etl_tests.waiting import wait_for

HEADER = ("user.Identifier", "user.Email", "user.FaxNumber")
TAKE_A_TALLY = "UPDATE public.tally SET changes = changes + 1"
TALLY = f"""
CREATE TABLE public.tally (changes integer);
INSERT INTO public.tally VALUES (0);
CREATE FUNCTION public.take_a_tally() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN {TAKE_A_TALLY}; RETURN NULL; END $$;
CREATE TRIGGER take_a_tally AFTER INSERT ON engage.contact
FOR EACH STATEMENT EXECUTE FUNCTION public.take_a_tally();
"""
"""What somebody else put on the contacts: the only way to meet a lock when all of ours are held."""


@pytest.fixture
def planned(importing: Importing) -> Import:
    importing.seed(as_csv(("user.Email", "user.Identifier"), ("a@x.org", "1")))
    with importing.store.engine.begin() as connection:
        connection.execute(text(TALLY))
    return importing.plan(as_csv(HEADER, ("1", "new@x.org", ""), ("3", "c@x.org", "app-3")))


def test_r32_a_deadlock_is_tried_again(importing: Importing, planned: Import, caplog: pytest.LogCaptureFixture) -> None:
    with importing.store.engine.connect() as other:
        other.execute(text("SET LOCAL deadlock_timeout = '1min'"))  # so that it is found by the import
        other.execute(text(TAKE_A_TALLY))
        with applied_beside(importing, planned) as applied:
            try:
                wait_for("the import meets the tally", lambda: waits_in_the_middle(importing), pause=0.02)
                other.execute(text("UPDATE engage.contact SET first_name = 'Ann' WHERE identifier = '1'"))
            finally:
                other.commit()
            assert (applied.result().status, applied.result().drifted) == ("applied", 0)
    assert "contacts.csv: another program stood in the way (deadlock detected); attempt 1 had no effect." in caplog.text
    assert importing.column("email", "first_name") == [("new@x.org", "Ann"), ("c@x.org", None)]
    assert [contact["version"] for contact in importing.contacts()] == [3, 1]


def waits_in_the_middle(importing: Importing) -> bool:
    query = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid')"
    with importing.store.engine.connect() as connection:
        return bool(connection.scalar(text(query)))


def test_r32_a_lock_in_the_middle_ends_the_import_only_if_it_stays(
    importing: Importing, planned: Import, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(exclusive._SETTINGS, "lock_timeout", "50ms")
    before = importing.contacts(history=True)
    with importing.store.engine.connect() as other:
        other.execute(text(TAKE_A_TALLY))
        with pytest.raises(StoreUnavailable, match=f"stood in the way {ATTEMPTS} times .*run the import again"):
            importing.run(planned.import_id, APPLY)
        assert importing.entry(planned.import_id) == planned
        assert importing.contacts(history=True) == before
        caplog.clear()
        with applied_beside(importing, planned) as applied:
            try:
                wait_for("the import is tried again", lambda: "attempt 1 had no effect" in caplog.text, pause=0.02)
            finally:
                other.rollback()
            assert applied.result().status == "applied"


UNTRACED = {
    "an e-mail address": (
        "INSERT INTO engage.contact (email, email_key) VALUES ('C@x.org', 'c@x.org')",
        ("rejected", "address_in_use"),
    ),
    "an alias": ("INSERT INTO engage.contact (app_alias) VALUES ('app-3')", ("rejected", "address_in_use")),
}


@pytest.mark.parametrize("name", list(UNTRACED))
def test_r30_who_wrote_past_the_triggers_is_noticed_by_the_constraints(
    importing: Importing, planned: Import, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    statement, expected = UNTRACED[name]
    write_past_the_triggers(importing, statement)
    applied = importing.run(planned.import_id, APPLY)
    assert (applied.status, applied.drifted) == ("applied", 1)
    assert importing.rows(applied) == [(2, "updated", None), (3, *expected)]
    assert "attempt 1 had no effect" in caplog.text


def test_r30_a_contact_that_was_deleted_past_the_triggers_is_created_anew(importing: Importing) -> None:
    with importing.store.engine.begin() as connection:
        connection.execute(text("INSERT INTO engage.contact (identifier, app_alias) VALUES ('1', 'app-1')"))
    planned = importing.plan(as_csv(HEADER, ("1", "new@x.org", "")))
    write_past_the_triggers(importing, "DELETE FROM engage.contact")
    applied = importing.run(planned.import_id, APPLY)
    assert (applied.status, applied.drifted) == ("applied", 1)
    assert importing.rows(applied) == [(2, "created", None)]
    assert importing.column("identifier", "email", "app_alias") == [("1", "new@x.org", None)]


def write_past_the_triggers(importing: Importing, statement: str) -> None:
    with importing.store.engine.begin() as other:
        other.execute(text("SET LOCAL session_replication_role = replica"))
        other.execute(text(statement))


def test_a_conflict_that_a_new_plan_does_not_mend_is_no_conflict(
    importing: Importing, planned: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an error of ours, which nobody should wait for."""
    attempts = []

    def write_twice(connection: Connection, plan: PlanInput, _: object) -> None:
        attempts.append(plan.import_id)
        for _ in range(2):
            connection.execute(text("INSERT INTO engage.contact (email, email_key) VALUES ('z@x.org', 'z@x.org')"))

    monkeypatch.setattr(applying, "write_updates", write_twice)
    with pytest.raises(IntegrityError, match="uq_contact_email_key"):
        importing.run(planned.import_id, APPLY)
    assert len(attempts) == 2


def test_r30_who_waited_while_another_process_applied_changes_nothing(
    importing: Importing, planned: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a process lost the lock of its import with its connection, and another one took the import over."""
    exclusively = applying.exclusively

    def late(*arguments: object, **named: object) -> None:
        monkeypatch.setattr(applying, "exclusively", exclusively)
        applying.apply_updates(importing.store, planned.import_id)
        exclusively(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(applying, "exclusively", late)
    applied = importing.run(planned.import_id, APPLY)
    assert (applied.status, applied.created, applied.updated) == ("applied", 1, 1)
    assert [contact["version"] for contact in importing.contacts()] == [2, 1]
