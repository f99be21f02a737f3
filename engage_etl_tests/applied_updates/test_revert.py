"""R36, R37: what an import did is taken back where nobody has changed it since; all of it or nothing, once."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, text, update

from engage_etl.applied_updates import revert as reverting
from engage_etl.applied_updates.revert import Reverted, previewed_revert, revert_details
from engage_etl.errors import UsageError
from engage_etl.stage_run import revert_and_finish
from engage_etl.store.groups import create_group
from engage_etl.store.imports import Import, delete_plan
from engage_etl.store.tables import contact, contact_change, membership
from engage_etl_tests.importing import STAGES, Importing, as_csv

HEADER = ("user.Identifier", "user.Email")
SEED = as_csv(("user.Email", "user.Identifier", "user.FirstName"), ("a@x.org", "1", "Ann"), ("b@x.org", "2", "Bob"))


def revert(importing: Importing, entry: Import, by: str | None = None) -> Import:
    return revert_and_finish(importing.store, entry.import_id, by)


def details(importing: Importing, revert_entry: Import) -> list[tuple[Any, ...]]:
    with importing.store.engine.connect() as connection:
        found = list(revert_details(connection, revert_entry.import_id))
    return [(detail["row"], detail["field"], detail["result"], detail["now"]) for detail in found]


def sentences(importing: Importing, revert_entry: Import) -> list[str]:
    with importing.store.engine.connect() as connection:
        return [detail["message"] for detail in revert_details(connection, revert_entry.import_id)]


def values(importing: Importing) -> list[dict[str, Any]]:
    """All contacts, without what every change raises."""
    return [
        {name: value for name, value in found.items() if name not in ("version", "updated_at")}
        for found in importing.contacts()
    ]


@pytest.fixture
def seeded(importing: Importing) -> Importing:
    importing.seed(SEED)
    return importing


def test_r36_everything_comes_back(seeded: Importing) -> None:
    before = values(seeded)
    header = (*HEADER, "user.Title", "user.DateOfBirth", "user.CustomAttribute.Colour", "member.Shop")
    rows = (("1", "new@x.org", "2", "1984-02-29", "red", "Ulm"), ("3", "c@x.org", "", "", "blue", "Bonn"))
    entry = seeded(as_csv(header, *rows))
    undone = revert(seeded, entry, "Ann")
    assert values(seeded) == before
    assert (undone.restored, undone.kept, undone.failed) == (5 + 1, 0, 0)
    assert (undone.status, undone.reverts, undone.reverted_by) == ("applied", entry.import_id, "Ann")
    assert seeded.entry(entry.import_id).status == "reverted"


def test_r37_a_revert_stands_in_the_history_and_raises_versions(seeded: Importing) -> None:
    entry = seeded(as_csv(HEADER, ("1", "new@x.org"), ("3", "c@x.org")))
    undone = revert(seeded, entry)
    (ann, _) = seeded.contacts(history=True)
    assert ann["version"] == 3
    last = ann["history"][-1]
    assert (last["import_id"], last["row"]) == (undone.import_id, 2)
    assert last["changes"] == {"email": ["new@x.org", "a@x.org"]}
    with seeded.store.engine.connect() as connection:
        query = select(contact_change.c.version, contact_change.c.changes)
        removed = connection.execute(query.where(contact_change.c.outcome == "removed")).all()
    assert removed == [
        (2, {"identifier": ["3", None], "email": ["c@x.org", None], "groups": ["Newsletter", None]}),
    ]


def test_r36_done_twice_it_changes_nothing_the_second_time(seeded: Importing) -> None:
    entry = seeded(as_csv(HEADER, ("1", "new@x.org")))
    first = revert(seeded, entry)
    before = seeded.contacts(history=True)
    assert revert(seeded, entry) == first
    assert seeded.contacts(history=True) == before


def test_r36_a_failure_in_the_middle_leaves_everything_as_it_was(
    seeded: Importing, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = seeded(as_csv(HEADER, ("1", "new@x.org"), ("3", "c@x.org")))
    before = seeded.contacts(history=True)

    def break_off(*_: Any) -> None:
        raise ConnectionError("the line is dead")

    with monkeypatch.context() as patched, pytest.raises(ConnectionError):
        patched.setattr(reverting, "record_details", break_off)
        revert(seeded, entry)
    assert seeded.contacts(history=True) == before
    assert seeded.entry(entry.import_id).status == "applied"
    assert revert(seeded, entry).restored == 2


def test_r36_what_was_changed_since_is_kept_and_reported(seeded: Importing) -> None:
    entry = seeded(as_csv((*HEADER, "user.FirstName"), ("1", "new@x.org", "Anna"), ("2", "b@x.org", "Bo")))
    with seeded.store.engine.begin() as foreign:
        foreign.execute(update(contact).where(contact.c.identifier == "1").values(first_name="Annika"))
    undone = revert(seeded, entry)
    assert (undone.restored, undone.kept, undone.failed) == (2, 1, 0)
    assert seeded.column("email", "first_name") == [("a@x.org", "Annika"), ("b@x.org", "Bob")]
    assert details(seeded, undone) == [(2, "first_name", "kept", "Annika")]
    (ann, _) = seeded.column("contact_id")
    assert sentences(seeded, undone) == [
        f"contacts.csv, row 2: contact {ann[0]}: first_name was changed since the import, so that it stays as it is."
    ]


def test_r33_dates_and_titles_compare_by_value(seeded: Importing) -> None:
    entry = seeded(as_csv((*HEADER, "user.DateOfBirth", "user.Title"), ("1", "a@x.org", "1984-02-29", "2")))
    with seeded.store.engine.begin() as foreign:
        foreign.execute(update(contact).where(contact.c.identifier == "1").values(date_of_birth="1984-02-29T00:00:00Z"))
    assert Reverted.of(revert(seeded, entry)) == Reverted(2, 0, 0)
    assert seeded.column("date_of_birth", "title")[0] == (None, None)


def test_r11_a_swap_is_swapped_back(seeded: Importing) -> None:
    before = values(seeded)
    entry = seeded(as_csv(HEADER, ("1", "b@x.org"), ("2", "a@x.org")))
    assert entry.updated == 2
    assert Reverted.of(revert(seeded, entry)) == Reverted(2, 0, 0)
    assert values(seeded) == before


def test_r11_an_address_that_somebody_holds_by_now_stays_theirs(seeded: Importing) -> None:
    # 1 gives up a@x.org, which a new contact takes; 2 takes over what 1 has now when that is undone.
    entry = seeded(as_csv(HEADER, ("1", "c@x.org"), ("2", "d@x.org")))
    other = seeded(as_csv(HEADER, ("9", "A@X.org")))
    undone = revert(seeded, entry)
    assert (undone.restored, undone.kept, undone.failed) == (1, 0, 1)
    holder = seeded.contacts()[-1]["contact_id"]
    assert sentences(seeded, undone)[0].endswith(
        f"its addresses are not restored, since its former email is held by contact {holder}, who keeps it."
    )
    assert seeded.column("email") == [("c@x.org",), ("b@x.org",), ("A@X.org",)]
    assert other.created == 1


def test_r11_who_waits_for_an_address_that_is_not_given_up_fails_too(seeded: Importing) -> None:
    # A chain: 1 a->c, 2 b->a. To undo 2 needs b, which somebody took; 1 then cannot have a back.
    entry = seeded(as_csv(HEADER, ("1", "c@x.org"), ("2", "a@x.org")))
    seeded(as_csv(HEADER, ("9", "b@x.org")))
    undone = revert(seeded, entry)
    assert (undone.restored, undone.failed) == (0, 2)
    assert seeded.column("email") == [("c@x.org",), ("a@x.org",), ("b@x.org",)]


def test_r19_nobody_is_left_without_an_address(seeded: Importing) -> None:
    with seeded.store.engine.begin() as foreign:
        foreign.execute(insert(contact).values(identifier="7", mobile_number="4911111", mobile_key="4911111"))
    entry = seeded(as_csv(HEADER, ("7", "z@x.org")))
    with seeded.store.engine.begin() as foreign:
        foreign.execute(update(contact).where(contact.c.identifier == "7").values(mobile_number=None, mobile_key=None))
    undone = revert(seeded, entry)
    assert (undone.restored, undone.kept, undone.failed) == (1, 0, 1)  # the membership ends
    assert "would leave it without any" in sentences(seeded, undone)[0]
    assert seeded.column("email")[-1] == ("z@x.org",)


def test_r13_addresses_that_are_not_ascii_come_back_with_their_comparison_form(importing: Importing) -> None:
    importing.seed(as_csv(("user.Email", "user.Identifier", "user.MobileNumber"), ("Ä@x.org", "1", "+4911111")))
    entry = importing(as_csv((*HEADER, "user.MobileNumber"), ("1", "a@x.org", "4922222")))
    revert(importing, entry)
    with importing.store.engine.connect() as connection:
        keys = connection.execute(select(contact.c.email, contact.c.email_key, contact.c.mobile_key)).all()
    assert keys == [("Ä@x.org", "ä@x.org", "4911111")]


def test_r13_what_differs_in_spelling_only_keeps_its_comparison_form(seeded: Importing) -> None:
    entry = seeded(as_csv(HEADER, ("1", "A@x.org")))
    assert revert(seeded, entry).restored == 1
    with seeded.store.engine.connect() as connection:
        query = select(contact.c.email, contact.c.email_key).where(contact.c.identifier == "1")
        assert connection.execute(query).one() == ("a@x.org", "a@x.org")


@pytest.mark.parametrize("touch", ["contact", "join", "leave", "unsubscribe", "attributes"])
def test_r36_a_new_contact_that_somebody_touched_stays(seeded: Importing, touch: str) -> None:
    entry = seeded(as_csv((*HEADER, "member.Shop"), ("3", "c@x.org", "Ulm")))
    contact_id = seeded.contacts()[-1]["contact_id"]
    is_member = membership.c.contact_id == contact_id
    with seeded.store.engine.begin() as foreign:
        create_group(foreign, "Elsewhere")
        group = text("(SELECT group_id FROM engage.contact_group WHERE name = 'Elsewhere')")
        foreign.execute(
            {
                "contact": update(contact).where(contact.c.contact_id == contact_id).values(deactivated_at=func.now()),
                "join": insert(membership).values(group_id=group, contact_id=contact_id),
                "leave": delete(membership).where(is_member),
                "unsubscribe": update(membership).where(is_member).values(unsubscribed_at=func.now()),
                "attributes": update(membership).where(is_member).values(attributes={"shop": "Bonn"}),
            }[touch]
        )
    before = seeded.contacts(history=True)
    undone = revert(seeded, entry)
    assert (undone.restored, undone.kept) == (0, 1)
    assert details(seeded, undone) == [(2, "contact", "kept", None)]
    assert seeded.contacts(history=True) == before


def test_r36_a_contact_touched_by_imports_that_were_reverted_counts_as_untouched(seeded: Importing) -> None:
    before = values(seeded)
    entry = seeded(as_csv(HEADER, ("3", "c@x.org")))
    later = seeded(as_csv((*HEADER, "user.FirstName"), ("3", "c@x.org", "Cara")))
    revert(seeded, later)
    assert Reverted.of(revert(seeded, entry)) == Reverted(1, 0, 0)
    assert values(seeded) == before


def test_r20_members_that_left_come_back_as_they_were(seeded: Importing) -> None:
    seeded(as_csv((*HEADER, "member.Shop"), ("1", "a@x.org", "Ulm"), ("2", "b@x.org", "Bonn")))
    with seeded.store.engine.begin() as foreign:
        foreign.execute(
            update(membership).values(unsubscribed_at=func.now(), joined_at=func.now() - func.make_interval(1))
        )
    before = members(seeded)
    for mode in ("remove", "replace"):
        entry = seeded(as_csv(("user.Identifier", "user.Email"), ("1", "a@x.org")), import_mode=mode)
        assert len(members(seeded)) == 1
        revert(seeded, entry)
        assert members(seeded) == before


def members(importing: Importing) -> list[Any]:
    with importing.store.engine.connect() as connection:
        return list(connection.execute(select(membership).order_by(membership.c.contact_id)))


def test_r36_a_membership_whose_attributes_changed_since_stays(seeded: Importing) -> None:
    with seeded.store.engine.begin() as foreign:
        foreign.execute(insert(contact).values(identifier="7", email="z@x.org", email_key="z@x.org"))
    entry = seeded(as_csv((*HEADER, "member.Shop"), ("7", "z@x.org", "Ulm")))
    seeded(as_csv((*HEADER, "member.Shop"), ("7", "z@x.org", "Bonn")))
    undone = revert(seeded, entry)
    assert [(field, result) for _, field, result, _ in details(seeded, undone)] == [
        ("groups", "kept"),
        ("member.Shop", "kept"),
    ]
    assert seeded.contacts()[-1]["memberships"][0]["attributes"] == {"Shop": "Bonn"}


def test_a_contact_that_is_gone_is_kept_away(seeded: Importing) -> None:
    entry = seeded(as_csv(HEADER, ("1", "new@x.org"), ("3", "c@x.org")))
    with seeded.store.engine.begin() as foreign:
        foreign.execute(delete(contact).where(contact.c.identifier.in_(["1", "3"])))
    assert Reverted.of(revert(seeded, entry)) == Reverted(0, 2, 0)
    assert seeded.column("identifier") == [("2",)]


def test_contacts_that_tables_of_others_refer_to_are_not_torn_out(seeded: Importing) -> None:
    entry = seeded(as_csv(HEADER, ("1", "new@x.org"), ("3", "c@x.org")))
    with seeded.store.engine.begin() as foreign:
        foreign.execute(text("CREATE TABLE engage.visit (contact_id bigint REFERENCES engage.contact)"))
        foreign.execute(text("INSERT INTO engage.visit SELECT max(contact_id) FROM engage.contact"))
    before = seeded.contacts(history=True)
    with pytest.raises(UsageError, match="refers to contacts that would be removed"):
        revert(seeded, entry)
    assert seeded.contacts(history=True) == before


def test_a_revert_of_a_revert_of_a_revert(seeded: Importing) -> None:
    entry = seeded(as_csv(HEADER, ("1", "new@x.org"), ("3", "c@x.org")))
    changed, created = values(seeded), seeded.contacts()[-1]
    first = revert(seeded, entry)
    undone = values(seeded)
    second = revert(seeded, first)
    assert values(seeded) == changed
    assert seeded.contacts()[-1]["created_at"] == created["created_at"]
    third = revert(seeded, second)
    assert values(seeded) == undone
    statuses = [seeded.entry(one.import_id).status for one in (entry, first, second, third)]
    assert statuses == ["reverted", "applied", "reverted", "applied"]


def test_an_import_brought_back_can_be_reverted_again(seeded: Importing) -> None:
    before = values(seeded)
    entry = seeded(as_csv(HEADER, ("1", "new@x.org"), ("3", "c@x.org")))
    brought_back = revert(seeded, revert(seeded, entry))
    assert Reverted.of(revert(seeded, entry)) == Reverted(2, 0, 0)
    assert values(seeded) == before
    with pytest.raises(UsageError, match="which is reverted by now through another revert"):
        revert(seeded, brought_back)


def test_a_contact_comes_back_only_to_an_address_that_is_free(seeded: Importing) -> None:
    undone = revert(seeded, seeded(as_csv(HEADER, ("3", "c@x.org"))))
    seeded(as_csv(HEADER, ("4", "c@x.org")))
    assert Reverted.of(revert(seeded, undone)) == Reverted(0, 0, 1)
    assert seeded.column("identifier") == [("1",), ("2",), ("4",)]


def test_an_import_whose_plan_expired_can_be_reverted(seeded: Importing) -> None:
    before = values(seeded)
    entry = seeded(as_csv(HEADER, ("1", "new@x.org"), ("3", "c@x.org")))
    with seeded.store.engine.begin() as connection:
        delete_plan(connection, entry.import_id)
    revert(seeded, entry)
    assert values(seeded) == before


def test_a_dry_run_counts_and_changes_nothing(seeded: Importing) -> None:
    entry = seeded(as_csv(HEADER, ("1", "new@x.org"), ("3", "c@x.org")))
    before = seeded.contacts(history=True)
    with previewed_revert(seeded.store, entry.import_id) as (counts, left):
        assert (counts, list(left)) == (Reverted(2, 0, 0), [])
    assert seeded.contacts(history=True) == before
    assert seeded.entry(entry.import_id).status == "applied"
    assert Reverted.of(revert(seeded, entry)) == counts


def test_a_plan_made_before_a_revert_is_made_again(seeded: Importing) -> None:
    entry = seeded(as_csv(HEADER, ("1", "new@x.org")))
    planned = seeded.plan(as_csv(HEADER, ("1", "new@x.org")))
    assert planned.unchanged == 1
    revert(seeded, entry)
    applied = seeded.run(planned.import_id, STAGES[3:])
    assert (applied.drifted, applied.updated) == (1, 1)


@pytest.mark.parametrize("stages", [1, 3])
def test_only_what_is_applied_can_be_reverted(seeded: Importing, stages: int) -> None:
    import_id = seeded.register(as_csv(HEADER, ("1", "new@x.org")))
    entry = seeded.run(import_id, STAGES[:stages])
    with pytest.raises(UsageError, match=f"is {entry.status.value}; only an import that is applied can be reverted"):
        revert(seeded, entry)


def test_r41_the_report_says_what_was_not_restored_in_clear_to_its_owner_only(seeded: Importing) -> None:
    entry = seeded(as_csv((*HEADER, "user.FirstName"), ("1", "new@x.org", "Anna")))
    with seeded.store.engine.begin() as foreign:
        foreign.execute(update(contact).where(contact.c.identifier == "1").values(first_name="Annika"))
    undone = revert(seeded, entry)
    folder = seeded.store.settings.root / str(undone.report)
    assert sorted(file.name for file in folder.iterdir()) == ["changes.csv", "not_restored.csv", "summary.json"]
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    ann = seeded.contacts()[0]["contact_id"]
    assert (folder / "changes.csv").read_text() == (
        f"row,contact_id,field,before,after\n2,{ann},email,new@x.org,a@x.org\n"
    )
    lines = (folder / "not_restored.csv").read_text().splitlines()
    assert lines[1].startswith(f"2,{ann},first_name,kept,Ann,Anna,Annika,")
    assert not any("Ann" in sentence for sentence in sentences(seeded, undone))


def test_many_at_once_move_on_along_a_chain(importing: Importing) -> None:
    """Each of a thousand contacts takes over the address of the next one, and gets its own back."""
    rows = [(f"p{number}@x.org", str(number)) for number in range(1000)]
    importing.seed(as_csv(("user.Email", "user.Identifier"), *rows))
    before = values(importing)
    moved = [(str(number), f"p{(number + 1) % 1000}@x.org") for number in range(1000)]
    entry = importing(as_csv(HEADER, *moved))
    assert entry.updated == 1000
    assert revert(importing, entry).restored == 1000
    assert values(importing) == before
