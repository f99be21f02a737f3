"""R30, R31, R37: exactly the plan, in one transaction, once."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, insert, select, text, update

from engage_etl.applied_updates import stage as applying
from engage_etl.applied_updates.drift import WRITES_KEPT
from engage_etl.errors import FileError, StoreUnavailable
from engage_etl.store.engine import Store
from engage_etl.store.imports import update_import
from engage_etl.store.tables import contact, contact_change, store_write
from engage_etl_tests.importing import STAGES, Importing, as_csv

HEADER = ("user.Identifier", "user.Email")
APPLY = STAGES[3:]


def seeded(importing: Importing) -> None:
    importing.seed(as_csv(("user.Email", "user.Identifier"), ("a@x.org", "1"), ("b@x.org", "2")))


def test_r30_applying_twice_changes_nothing_the_second_time(importing: Importing) -> None:
    seeded(importing)
    entry = importing(as_csv(HEADER, ("1", "new@x.org"), ("3", "c@x.org")))
    before = importing.contacts(history=True)
    assert importing.run(entry.import_id) == importing.entry(entry.import_id)
    assert importing.contacts(history=True) == before


def test_r30_a_failure_in_the_middle_leaves_the_store_as_it_was(
    importing: Importing, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeded(importing)
    before = importing.contacts(history=True)
    entry = importing.plan(as_csv(HEADER, ("1", "new@x.org"), ("3", "c@x.org")))
    write = applying.write_updates

    def write_and_break(*given: Any) -> None:
        write(*given)
        raise ConnectionError("the line is dead")

    with monkeypatch.context() as patched, pytest.raises(ConnectionError):
        patched.setattr(applying, "write_updates", write_and_break)
        importing.run(entry.import_id, APPLY)
    assert importing.contacts(history=True) == before
    assert importing.run(entry.import_id, APPLY).status == "applied"
    assert importing.column("email") == [("new@x.org",), ("b@x.org",), ("c@x.org",)]


def test_r31_a_contact_changed_between_plan_and_apply_is_planned_again(importing: Importing) -> None:
    seeded(importing)
    entry = importing.plan(as_csv(HEADER, ("1", "new@x.org"), ("2", "b@x.org")))
    with importing.store.engine.begin() as foreign:
        foreign.execute(update(contact).where(contact.c.identifier == "2").values(email="z@x.org", email_key="z@x.org"))
    applied = importing.run(entry.import_id, APPLY)
    assert (applied.status, applied.drifted, applied.updated) == ("applied", 1, 2)
    assert applied.plan_hash != applied.first_plan_hash == entry.plan_hash
    assert importing.changes(applied)[3] == {"email": ["z@x.org", "b@x.org"]}


def test_r30_an_address_that_was_free_in_the_plan_and_is_taken_now(importing: Importing) -> None:
    seeded(importing)
    entry = importing.plan(as_csv(HEADER, ("1", "new@x.org")))
    with importing.store.engine.begin() as foreign:
        foreign.execute(insert(contact).values(email="New@x.org", email_key="new@x.org"))
    applied = importing.run(entry.import_id, APPLY)
    assert importing.rows(applied) == [(2, "rejected", "address_in_use")]
    assert (applied.drifted, applied.rejected) == (1, 1)


def test_r30_an_identifier_that_was_free_in_the_plan_is_not_created_twice(importing: Importing) -> None:
    entry = importing.plan(as_csv(HEADER, ("77", "new@x.org")))
    with importing.store.engine.begin() as foreign:
        foreign.execute(insert(contact).values(identifier="77", email="other@x.org", email_key="other@x.org"))
    applied = importing.run(entry.import_id, APPLY)
    assert importing.rows(applied) == [(2, "updated", None)]
    assert importing.column("identifier", "email") == [("77", "new@x.org")]


def test_r30_drift_is_seen_of_a_writer_that_began_before_the_plan_and_ended_after_it(importing: Importing) -> None:
    seeded(importing)
    with importing.store.engine.connect() as foreign:
        foreign.execute(text("UPDATE engage.contact SET first_name = 'Zoe' WHERE identifier = '1'"))
        entry = importing.plan("user.Identifier,user.FirstName\n1,Zoe\n")
        assert importing.rows(entry) == [(2, "updated", None)]
        foreign.commit()
    applied = importing.run(entry.import_id, APPLY)
    assert importing.rows(applied) == [(2, "unchanged", None)]
    assert applied.drifted == 1


def test_r30_without_foreign_writes_the_plan_is_applied_as_it_is(importing: Importing) -> None:
    seeded(importing)
    entry = importing.plan(as_csv(HEADER, ("1", "new@x.org")))
    applied = importing.run(entry.import_id, APPLY)
    assert (applied.drifted, applied.plan_hash) == (0, entry.plan_hash)


def test_foreign_writers_raise_the_version(importing: Importing) -> None:
    seeded(importing)
    with importing.store.engine.begin() as foreign:
        foreign.execute(update(contact).where(contact.c.identifier == "1").values(first_name="Zoe"))
        foreign.execute(update(contact).where(contact.c.identifier == "2").values(first_name=None))
    assert importing.column("identifier", "version") == [("1", 2), ("2", 1)]


def test_r37_history_has_every_change_with_import_row_and_values(importing: Importing) -> None:
    seeded(importing)
    entry = importing(as_csv(HEADER, ("1", "new@x.org"), ("2", "b@x.org")))
    first, second = importing.contacts(history=True)
    assert [(change["import_id"], change["row"], change["changes"]) for change in first["history"][1:]] == [
        (entry.import_id, 2, {"email": ["a@x.org", "new@x.org"]})
    ]
    assert first["history"][0]["changes"] == {
        "email": [None, "a@x.org"],
        "identifier": [None, "1"],
        "groups": [None, "Newsletter"],
    }
    assert len(second["history"]) == 1
    with importing.store.engine.connect() as connection:
        versions = select(contact_change.c.version).where(contact_change.c.contact_id == first["contact_id"])
        assert list(connection.scalars(versions.order_by(contact_change.c.change_id))) == [1, 2]


def test_r30_an_applied_import_is_frozen(importing: Importing) -> None:
    seeded(importing)
    entry = importing(as_csv(HEADER, ("1", "new@x.org")))
    rows = importing.plan_rows(entry)
    importing.run(entry.import_id, STAGES[:3])
    assert importing.entry(entry.import_id).status == "applied"
    assert importing.plan_rows(entry) == rows


def test_validating_again_voids_the_plan(importing: Importing) -> None:
    entry = importing.plan(as_csv(HEADER, ("1", "new@x.org")))
    again = importing.run(entry.import_id, STAGES[1:2])
    assert (again.status, again.plan_hash, importing.plan_rows(again)) == ("validated", None, [])


def test_a_plan_older_than_what_is_remembered_is_made_again(importing: Importing) -> None:
    seeded(importing)
    entry = importing.plan(as_csv(HEADER, ("1", "new@x.org")))
    long_ago = func.now() - 2 * WRITES_KEPT
    with importing.store.engine.begin() as connection:
        connection.execute(
            update(contact).where(contact.c.identifier == "1").values(email="n@x.org", email_key="n@x.org")
        )
        connection.execute(update(store_write).values(written_at=long_ago))
        update_import(connection, entry.import_id, planned_at=long_ago)
    applied = importing.run(entry.import_id, APPLY)
    assert (applied.status, applied.drifted) == ("applied", 1)
    assert importing.changes(applied)[2] == {"email": ["n@x.org", "new@x.org"]}
    with importing.store.engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(store_write)) == 1  # that of this apply


def test_r17_an_attribute_that_got_another_type_meanwhile_stops_the_import(importing: Importing) -> None:
    typed = (
        '<userdata><list><namedattr-definition name="Size" type="number"/><user><identifier>1</identifier>'
        '<email>a@x.org</email><namedattr name="Size">3</namedattr></user></list></userdata>'
    )
    entry = importing.plan(typed, name="typed.xml")
    importing("user.Identifier,user.Email,user.CustomAttribute.size\n2,b@x.org,large\n")
    with pytest.raises(FileError, match="'Size' has become a string"):
        importing.run(entry.import_id, APPLY)
    assert importing.entry(entry.import_id).status == "failed"
    assert importing.column("identifier") == [("2",)]


def test_applying_waits_for_a_foreign_writer_only_so_long(importing: Importing) -> None:
    seeded(importing)
    entry = importing.plan(as_csv(HEADER, ("1", "new@x.org")))
    impatient = Store(importing.store.engine, importing.store.settings.model_copy(update={"lock_wait_limit": 0.1}))
    with importing.store.engine.connect() as foreign:
        foreign.execute(text("UPDATE engage.contact SET first_name = 'Held' WHERE identifier = '2'"))
        with pytest.raises(StoreUnavailable, match="others have been writing contacts"):
            applying.apply_updates(impatient, entry.import_id)
    assert importing.run(entry.import_id, APPLY).status == "applied"
