"""R31, R34, R35: a plan that waits is applied as it was approved, or not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from engage_etl.applied_updates.stage import approve_plan
from engage_etl.errors import ApprovalMissing, ApprovalRefused, BrakeStopped, EngageError, PlanDrifted, UsageError
from engage_etl.stage_run import reject_and_finish
from engage_etl.store.imports import Import, update_import
from engage_etl.store.tables import contact, membership, plan_approval
from engage_etl_tests.importing import STAGES, Importing, as_csv

HEADER = ("user.Identifier", "user.Email")
PLAN, APPLY = STAGES[:3], STAGES[3:]


def seeded(importing: Importing) -> None:
    importing.seed(as_csv(("user.Email", "user.Identifier"), ("a@x.org", "1"), ("b@x.org", "2"), ("c@x.org", "3")))


def waiting(importing: Importing, **options: Any) -> Import:
    """An import of three rows that waits: two contacts change, one is new."""
    seeded(importing)
    content = as_csv(HEADER, ("1", "new1@x.org"), ("2", "new2@x.org"), ("4", "d@x.org"))
    return importing.plan(content, **{"approval": "required"} | options)


def change(importing: Importing, identifier: str, email: str) -> None:
    """Another program changes a contact."""
    with importing.store.engine.begin() as foreign:
        foreign.execute(update(contact).where(contact.c.identifier == identifier).values(email=email, email_key=email))


def recorded(importing: Importing) -> list[Any]:
    with importing.store.engine.connect() as connection:
        return list(connection.execute(select(plan_approval).order_by(plan_approval.c.approval_id)))


def summary(importing: Importing, import_id: str) -> dict[str, Any]:
    text = (importing.store.settings.report_dir(import_id) / "summary.json").read_text()
    found: dict[str, Any] = json.loads(text)
    return found


def test_r35_the_import_waits_with_its_plan_and_its_report(importing: Importing) -> None:
    entry = waiting(importing)
    before = importing.contacts()
    assert (entry.status, entry.error_code, entry.ended_at) == ("waiting_for_approval", None, None)
    assert (entry.created, entry.updated) == (1, 2)
    assert summary(importing, entry.import_id)["status"] == "waiting_for_approval"
    with pytest.raises(ApprovalMissing, match=f"is not approved, and nothing was applied.*approve {entry.import_id}"):
        importing.run(entry.import_id, APPLY)
    assert importing.entry(entry.import_id).status == "waiting_for_approval"
    assert importing.contacts() == before


def test_r35_who_when_and_which_plan_are_recorded_and_the_plan_is_applied(importing: Importing) -> None:
    entry = waiting(importing)
    approve_plan(importing.store, entry.import_id, by="Ann", plan_hash=entry.plan_hash)
    applied = importing.run(entry.import_id, APPLY)
    assert (applied.status, applied.plan_hash, applied.drifted) == ("applied", entry.plan_hash, 0)
    assert importing.column("email") == [("new1@x.org",), ("new2@x.org",), ("c@x.org",), ("d@x.org",)]
    [row] = recorded(importing)
    assert (row.import_id, row.plan_hash, row.approved_by, row.overrides) == (
        entry.import_id, entry.plan_hash, "Ann", [],
    )  # fmt: skip
    told = summary(importing, entry.import_id)
    assert (told["status"], told["error"]) == ("applied", None)
    assert told["approval"] == {
        "by": "Ann", "at": row.approved_at.isoformat(), "plan_hash": entry.plan_hash, "overrides": [],
    }  # fmt: skip


def test_an_approval_that_was_recorded_before_a_kill_is_completed(importing: Importing) -> None:
    entry = waiting(importing)
    approve_plan(importing.store, entry.import_id, by="Ann")
    approve_plan(importing.store, entry.import_id, by="Bob")
    assert [row.approved_by for row in recorded(importing)] == ["Ann"]
    assert importing.run(entry.import_id, APPLY).status == "applied"
    approve_plan(importing.store, entry.import_id, by="Ann")
    assert len(recorded(importing)) == 1


def test_r34_overriding_a_brake_is_an_approval_of_that_plan(importing: Importing) -> None:
    entry = waiting(importing, approval="none", max_changed="2", max_rejected="0")
    assert (entry.status, entry.error_code) == ("stopped", "max_changed")
    with pytest.raises(BrakeStopped, match="3 of 3 rows"):
        importing.run(entry.import_id, APPLY)
    approve_plan(importing.store, entry.import_id, by="Ann", plan_hash=entry.plan_hash)
    applied = importing.run(entry.import_id, APPLY)
    assert (applied.status, applied.error_code, applied.error_message) == ("applied", None, None)
    assert [row.overrides for row in recorded(importing)] == [["max_changed"]]
    assert summary(importing, entry.import_id)["approval"]["overrides"] == ["max_changed"]


@pytest.mark.parametrize("by", ["ann müller", "Ann Müller", " ANN  MÜLLER ", "Ann Mu\u0308ller"])
def test_r35_the_second_person_is_not_the_one_that_started_it(importing: Importing, by: str) -> None:
    entry = waiting(importing, approval="second-person", started_by="ann müller")
    with pytest.raises(ApprovalRefused, match=r"ann müller has started import .* by a second person"):
        approve_plan(importing.store, entry.import_id, by=by)
    assert recorded(importing) == []
    approve_plan(importing.store, entry.import_id, by="Bob")
    assert importing.run(entry.import_id, APPLY).status == "applied"


def test_r35_of_an_automation_its_name_started_the_import(importing: Importing) -> None:
    entry = waiting(importing, approval="second-person")
    with importing.store.engine.begin() as connection:
        update_import(connection, entry.import_id, automation="nightly-crm")
    with pytest.raises(ApprovalRefused, match="nightly-crm has started"):
        approve_plan(importing.store, entry.import_id, by="nightly-crm")
    approve_plan(importing.store, entry.import_id, by="Ann")


def test_r35_who_started_it_may_approve_where_no_second_person_is_asked_for(importing: Importing) -> None:
    entry = waiting(importing, started_by="ann")
    approve_plan(importing.store, entry.import_id, by="ann")
    assert importing.run(entry.import_id, APPLY).status == "applied"


def test_r35_another_plan_than_the_one_looked_at_is_not_approved(importing: Importing) -> None:
    entry = waiting(importing)
    with pytest.raises(ApprovalRefused, match=f"is {entry.plan_hash} now and not 0123"):
        approve_plan(importing.store, entry.import_id, by="Ann", plan_hash="0123")
    with pytest.raises(ApprovalRefused, match="and not blank"):
        approve_plan(importing.store, entry.import_id, by="Ann", plan_hash="")
    with pytest.raises(UsageError, match="has to be named"):
        approve_plan(importing.store, entry.import_id, by=" ")
    assert recorded(importing) == []


def test_an_import_that_does_not_wait_has_nothing_to_decide(importing: Importing) -> None:
    entry = importing.plan(as_csv(HEADER, ("1", "a@x.org")))
    for decide in (
        lambda: approve_plan(importing.store, entry.import_id, by="Ann"),
        lambda: reject_and_finish(importing.store, entry.import_id, because="no", by="Ann"),
    ):
        with pytest.raises(UsageError, match="is planned, and there is nothing to"):
            decide()


def test_r35_the_approval_is_void_once_the_plan_is_another_one(importing: Importing) -> None:
    entry = waiting(importing)
    approve_plan(importing.store, entry.import_id, by="Ann")
    change(importing, "2", "new2@x.org")
    again = importing.run(entry.import_id, PLAN)
    assert (again.status, again.plan_hash != entry.plan_hash) == ("waiting_for_approval", True)
    with pytest.raises(ApprovalMissing):
        importing.run(entry.import_id, APPLY)
    assert [(row.plan_hash, row.void_because) for row in recorded(importing)] == [(entry.plan_hash, None)]


def test_r35_the_same_plan_made_again_stays_approved(importing: Importing) -> None:
    entry = waiting(importing)
    approve_plan(importing.store, entry.import_id, by="Ann")
    assert importing.run(entry.import_id, PLAN).plan_hash == entry.plan_hash
    assert importing.run(entry.import_id, APPLY).status == "applied"


def test_r31_an_approved_plan_that_drifted_is_refused_with_its_rows_and_planned_again(importing: Importing) -> None:
    entry = waiting(importing)
    approve_plan(importing.store, entry.import_id, by="Ann")
    change(importing, "2", "foreign@x.org")
    with importing.store.engine.begin() as foreign:
        foreign.execute(insert(contact).values(email="d@x.org", email_key="d@x.org"))
    before, plan = importing.contacts(), importing.plan_rows(entry)
    second = before[1]["contact_id"]
    with pytest.raises(PlanDrifted) as refused:
        importing.run(entry.import_id, APPLY)
    assert refused.value.rows == 2
    assert str(refused.value) == (
        "contacts.csv: contacts or memberships were changed since the approved plan was made, and 2 of its rows would come "
        f"out otherwise now: row 3 (contact {second}), row 4. Nothing was applied. Plan it again with `engage-etl imports "
        f"plan {entry.import_id}`, or materialize match_plan of this import in the web page; then look at the new plan and "
        "approve that."
    )
    assert (importing.contacts(), importing.plan_rows(entry)) == (before, plan)
    refused_entry = importing.entry(entry.import_id)
    assert (refused_entry.status, refused_entry.error_code, refused_entry.drifted) == (
        "waiting_for_approval", "plan_drifted", 2,
    )  # fmt: skip
    assert [row.void_because for row in recorded(importing)] == ["plan_drifted"]
    with pytest.raises(ApprovalMissing):
        importing.run(entry.import_id, APPLY)
    again = importing.run(entry.import_id, PLAN)
    assert (again.status, again.error_code, again.drifted) == ("waiting_for_approval", None, 0)
    approve_plan(importing.store, entry.import_id, by="Ann", plan_hash=again.plan_hash)
    applied = importing.run(entry.import_id, APPLY)
    assert (applied.status, applied.plan_hash) == ("applied", again.plan_hash)
    assert importing.changes(applied)[3] == {"email": ["foreign@x.org", "new2@x.org"]}


def test_r31_an_overridden_brake_is_refused_on_drift_too(importing: Importing) -> None:
    entry = waiting(importing, approval="none", max_changed="2")
    approve_plan(importing.store, entry.import_id, by="Ann")
    change(importing, "1", "foreign@x.org")
    with pytest.raises(PlanDrifted, match="1 of its rows would come out otherwise now: row 2"):
        importing.run(entry.import_id, APPLY)
    assert importing.entry(entry.import_id).status == "stopped"


def test_r31_many_rows_that_drifted_are_counted_and_the_first_named(importing: Importing) -> None:
    people = [(f"m{number}", f"m{number}@x.org") for number in range(12)]
    importing.seed(as_csv(("user.Email", "user.Identifier"), *((email, identifier) for identifier, email in people)))
    content = as_csv(("user.Identifier", "user.FirstName"), *((identifier, "Zoe") for identifier, _ in people))
    entry = importing.plan(content, approval="required")
    approve_plan(importing.store, entry.import_id, by="Ann")
    with importing.store.engine.begin() as foreign:
        foreign.execute(update(contact).values(first_name="Zoe"))
    with pytest.raises(
        PlanDrifted, match=r"12 of its rows .*: row 2 \(contact .*, row 11 \(contact \d+\) and 2 more\."
    ):
        importing.run(entry.import_id, APPLY)


def test_r31_members_who_would_leave_otherwise_are_drift(importing: Importing) -> None:
    seeded(importing)
    entry = importing.plan(as_csv(HEADER, ("1", "a@x.org")), import_mode="replace", approval="required")
    approve_plan(importing.store, entry.import_id, by="Ann")
    with importing.store.engine.begin() as foreign:
        third = select(contact.c.contact_id).where(contact.c.identifier == "3").scalar_subquery()
        foreign.execute(membership.delete().where(membership.c.contact_id == third))
    with pytest.raises(PlanDrifted, match="other members than planned would leave the group now"):
        importing.run(entry.import_id, APPLY)
    assert importing.entry(entry.import_id).status == "waiting_for_approval"


def test_r40_writes_that_change_nothing_of_the_plan_do_not_void_its_approval(importing: Importing) -> None:
    entry = waiting(importing)
    assert importing(as_csv(HEADER, ("3", "c.new@x.org"), ("9", "z@x.org")), name="next.csv").status == "applied"
    approve_plan(importing.store, entry.import_id, by="Ann")
    applied = importing.run(entry.import_id, APPLY)
    assert (applied.status, applied.plan_hash, applied.drifted) == ("applied", entry.plan_hash, 0)
    assert sorted(importing.column("email")) == [
        ("c.new@x.org",), ("d@x.org",), ("new1@x.org",), ("new2@x.org",), ("z@x.org",),
    ]  # fmt: skip


@pytest.mark.parametrize("options", [{"approval": "required"}, {"approval": "none", "max_changed": "1"}])
def test_a_rejected_import_has_ended_and_says_why(importing: Importing, options: dict[str, str]) -> None:
    entry = waiting(importing, **options)
    before = importing.contacts()
    approve_plan(importing.store, entry.import_id, by="Bob")
    reject_and_finish(importing.store, entry.import_id, because="the wrong file", by="Ann")
    rejected = importing.entry(entry.import_id)
    assert (rejected.status, rejected.error_code) == ("failed", "plan_rejected")
    assert rejected.error_message == (
        "contacts.csv: Ann has rejected the plan, and nothing was applied. The reason: the wrong file"
    )
    assert (rejected.created, rejected.updated, rejected.ended_at is not None) == (1, 2, True)
    assert summary(importing, entry.import_id)["error"]["code"] == "plan_rejected"
    assert [row.void_because for row in recorded(importing)] == ["rejected"]
    with pytest.raises(UsageError, match="is failed"):
        importing.run(entry.import_id, APPLY)
    # Whoever plans it once more needs an approval once more, of the very same plan.
    importing.run(entry.import_id, PLAN)
    with pytest.raises(EngageError):
        importing.run(entry.import_id, APPLY)
    assert importing.contacts() == before


def test_to_reject_needs_a_reason(importing: Importing) -> None:
    entry = waiting(importing)
    with pytest.raises(UsageError, match="--because"):
        reject_and_finish(importing.store, entry.import_id, because=" ", by="Ann")
    assert importing.entry(entry.import_id).status == "waiting_for_approval"
