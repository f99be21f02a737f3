"""R20, R21: what each import mode does with members, contacts and new ones, and what the switches leave out."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select, update

from engage_etl.store.groups import create_group
from engage_etl.store.tables import contact, membership
from engage_etl_tests.importing import STAGES, Importing

SEED = "user.Email,user.Identifier,user.FirstName,member.Shop\nm@x.org,M,Mia,Ulm\nother@x.org,O,Oda,Bonn\n"
OUTSIDER = "user.Email,user.Identifier,user.FirstName\nc@x.org,C,Cleo\n"
ROWS = (
    "user.Identifier,user.Email,user.FirstName\n"
    "M,m2@x.org,Mara\n"  # 2: a member
    "C,c2@x.org,Cara\n"  # 3: a contact outside of the group
    "N,n@x.org,Nora\n"  # 4: nobody
)

# From the table of R20: what becomes of the member, the contact and the new one.
OUTCOMES = {
    "add": [("skipped", "not_in_mode"), ("updated", None), ("created", None)],
    "add-contacts-as-members": [("skipped", "not_in_mode"), ("updated", None), ("skipped", "not_in_mode")],
    "update-current-members": [("updated", None), ("skipped", "not_in_mode"), ("skipped", "not_in_mode")],
    "add-and-update": [("updated", None), ("updated", None), ("created", None)],
    "replace": [("updated", None), ("updated", None), ("created", None)],
    "remove": [("updated", None), ("skipped", "not_in_mode"), ("skipped", "not_in_mode")],
}
MEMBERS = {
    "add": ["M", "O", "C", "N"],
    "add-contacts-as-members": ["M", "O", "C"],
    "update-current-members": ["M", "O"],
    "add-and-update": ["M", "O", "C", "N"],
    "replace": ["M", "C", "N"],
    "remove": ["O"],
}
NAMES = {
    "add": ["Mia", "Oda", "Cleo", "Nora"],
    "add-contacts-as-members": ["Mia", "Oda", "Cleo"],
    "update-current-members": ["Mara", "Oda", "Cleo"],
    "add-and-update": ["Mara", "Oda", "Cara", "Nora"],
    "replace": ["Mara", "Oda", "Cara", "Nora"],
    "remove": ["Mia", "Oda", "Cleo"],
}


@pytest.fixture
def filled(importing: Importing) -> Importing:
    """Two members of the group, one contact outside of it."""
    importing.seed(SEED)
    with importing.store.engine.begin() as connection:
        create_group(connection, "Elsewhere")
    importing(OUTSIDER, name="outsider.csv", use_external_identifier=False, group="Elsewhere")
    return importing


def members(importing: Importing) -> list[str]:
    return [found["identifier"] for found in importing.contacts() if "Newsletter" in found["groups"]]


@pytest.mark.parametrize("mode", list(OUTCOMES))
def test_what_becomes_of_each_kind_of_row(filled: Importing, mode: str) -> None:
    entry = filled(ROWS, import_mode=mode)
    assert [(outcome, reason) for _, outcome, reason in filled.rows(entry)] == OUTCOMES[mode]
    assert members(filled) == MEMBERS[mode]
    assert [name for (name,) in filled.column("first_name")] == NAMES[mode]


@pytest.mark.parametrize("mode", list(OUTCOMES))
def test_a_second_import_has_nothing_left_to_do(filled: Importing, mode: str) -> None:
    filled(ROWS, import_mode=mode)
    before = filled.contacts()
    again = filled(ROWS, import_mode=mode)
    assert again.created == again.updated == again.left_group == 0
    assert filled.contacts() == before


@pytest.mark.parametrize("mode", list(OUTCOMES))
def test_history_and_version_tell_every_change(filled: Importing, mode: str) -> None:
    """R20, R37: a membership-only change has ``changes.groups``, a history entry, and raises the version."""
    versions = dict(filled.column("identifier", "version"))
    entry = filled(ROWS, import_mode=mode)
    changed = {
        found["identifier"] for found in filled.contacts() if found["version"] != versions.get(found["identifier"])
    }
    told = {
        found["identifier"]
        for found in filled.contacts(history=True)
        if any(change["import_id"] == entry.import_id for change in found["history"])
    }
    assert changed == told
    assert len(told) == entry.created + entry.updated + entry.left_group


def test_a_membership_alone_makes_a_row_updated(filled: Importing) -> None:
    entry = filled("user.Identifier\nC\n", import_mode="add-contacts-as-members")
    assert filled.changes(entry) == {2: {"groups": [None, "Newsletter"]}}
    (found,) = (found for found in filled.contacts(history=True) if found["identifier"] == "C")
    assert found["version"] == 2
    assert found["history"][-1]["changes"] == {"groups": [None, "Newsletter"]}


def test_add_takes_no_address_from_anybody(filled: Importing) -> None:
    """R11: only a row that writes a profile takes an address; here it is the member's, and the contact just joins."""
    entry = filled("user.Identifier,user.Email\nC,m@x.org\n", import_mode="add")
    assert filled.rows(entry) == [(2, "updated", None)]
    assert filled.changes(entry) == {2: {"groups": [None, "Newsletter"]}}


def test_replace_counts_who_left(filled: Importing) -> None:
    entry = filled(ROWS, import_mode="replace")
    assert entry.left_group == 1
    (other,) = (found for found in filled.contacts(history=True) if found["identifier"] == "O")
    assert (other["first_name"], other["email"], other["groups"], other["version"]) == ("Oda", "other@x.org", [], 2)
    last = other["history"][-1]
    assert (last["import_id"], last["row"]) == (entry.import_id, None)
    assert last["changes"] == {"groups": ["Newsletter", None], "member.Shop": ["Bonn", None]}


def test_replace_keeps_who_was_mistyped(filled: Importing) -> None:
    """R20: every contact that a row matched counts as present, rejected rows too."""
    rows = "user.Identifier,user.Email\nM,m@x.org\nO,not an address\n"
    entry = filled(rows, import_mode="replace")
    assert filled.rows(entry) == [(2, "unchanged", None), (3, "rejected", "address_invalid")]
    assert entry.left_group == 0
    assert members(filled) == ["M", "O"]


def test_replace_keeps_who_was_superseded_or_ambiguous(filled: Importing) -> None:
    with filled.store.engine.begin() as connection:
        connection.execute(update(contact).where(contact.c.identifier == "O").values(identifier="M"))
    entry = filled("user.Identifier,user.Email\nM,m@x.org\n", import_mode="replace")
    assert filled.rows(entry) == [(2, "rejected", "identifier_ambiguous")]
    assert entry.left_group == 0


@pytest.mark.parametrize(
    "rows",
    [
        "",
        "M,m@x.org\n,n@x.org\n",
        "M,m@x.org\nO O,o@x.org\n",
        "M,m@x.org\n1.2E+11,o@x.org\n",
        "M,m@x.org\nO,o@x.org,too many\n",
    ],
    ids=["no rows", "no identifier", "malformed", "mangled", "malformed row"],
)
def test_replace_takes_nobody_out_if_it_cannot_know(filled: Importing, rows: str) -> None:
    """R20: a file with 0 rows, or with a row whose key cannot be read, removes nobody; a warning says so."""
    entry = filled("user.Identifier,user.Email\n" + rows, import_mode="replace")
    assert entry.left_group == 0
    assert members(filled) == ["M", "O"]
    assert any("nobody was taken out of the group" in warning for warning in entry.warnings)


def test_replace_by_addresses(filled: Importing) -> None:
    """R3: the key is the address in the first column; one that is no address cannot be read."""
    entry = filled("user.Email\nOTHER@x.org\n", import_mode="replace", use_external_identifier=False)
    assert entry.left_group == 1
    assert members(filled) == ["O"]
    entry = filled("user.Email\nnobody\n", import_mode="replace", use_external_identifier=False)
    assert (entry.left_group, members(filled)) == (0, ["O"])


def test_who_joins_after_the_plan_leaves_too(filled: Importing) -> None:
    """R30, R31: the plan of leavers is made again on drift, and what is applied is what it says then."""
    import_id = filled.register("user.Identifier\nM\n", import_mode="replace", max_rejected="100%")
    planned = filled.run(import_id, STAGES[:3])
    filled("user.Identifier,user.Email\nL,late@x.org\n", name="late.csv")
    applied = filled.run(import_id, STAGES[3:])
    assert (planned.left_group, applied.left_group) == (1, 2)
    assert planned.plan_hash != applied.plan_hash and applied.first_plan_hash == planned.plan_hash
    assert members(filled) == ["M"]


def test_remove_validates_keys_only(filled: Importing) -> None:
    """R20: what else stands in the rows is not looked at, and member attributes go with the membership."""
    rows = "user.Identifier,user.Email,user.Title,user.CustomAttribute.new\nM,no address,99,x\nO O,o@x.org,1,x\n"
    entry = filled(rows, import_mode="remove")
    assert filled.rows(entry) == [(2, "updated", None), (3, "rejected", "identifier_malformed")]
    assert filled.changes(entry)[2] == {"groups": ["Newsletter", None], "member.Shop": ["Ulm", None]}
    assert members(filled) == ["O"]
    (left,) = (found for found in filled.contacts() if found["identifier"] == "M")
    assert (left["email"], left["title"], left["custom"], left["memberships"]) == ("m@x.org", None, {}, [])


def test_remove_by_addresses(filled: Importing) -> None:
    rows = "user.Email,user.MobileNumber\nm@x.org,nonsense\nno address,4911111\n"
    entry = filled(rows, import_mode="remove", use_external_identifier=False)
    assert filled.rows(entry) == [(2, "updated", None), (3, "rejected", "address_invalid")]


def test_remove_of_nobody_without_address(filled: Importing) -> None:
    """The reasons of step 3 in their order: nobody matches, and there is no address."""
    entry = filled("user.Identifier,user.Email\nX,\nX2,x@x.org\n", import_mode="remove")
    assert filled.rows(entry) == [(2, "skipped", "no_standard_identifier"), (3, "skipped", "not_in_mode")]


@pytest.mark.parametrize("mode", ["add-and-update", "update-current-members", "replace", "remove"])
def test_unsubscribed_and_deactivated_are_left_out_if_asked(filled: Importing, mode: str) -> None:
    """R21; the switches are off by default."""
    with filled.store.engine.begin() as connection:
        ids = select(contact.c.contact_id).where(contact.c.identifier == "M")
        connection.execute(
            update(membership).where(membership.c.contact_id.in_(ids)).values(unsubscribed_at=func.now())
        )
        connection.execute(update(contact).where(contact.c.identifier == "O").values(deactivated_at=func.now()))
    rows = "user.Identifier,user.Nickname\nM,Mi\nO,Od\n"
    entry = filled(rows, import_mode=mode, ignore_unsubscribed=True, ignore_deactivated=True)
    assert filled.rows(entry) == [(2, "skipped", "unsubscribed"), (3, "skipped", "deactivated")]
    assert members(filled) == ["M", "O"]
    entry = filled(rows, import_mode=mode)
    assert filled.rows(entry) == [(2, "updated", None), (3, "updated", None)]


def test_replace_with_switches_leaves_those_alone_whom_the_file_lacks(filled: Importing) -> None:
    with filled.store.engine.begin() as connection:
        connection.execute(update(membership).values(unsubscribed_at=func.now()))
    entry = filled("user.Identifier,user.Email\nN,n@x.org\n", import_mode="replace", ignore_unsubscribed=True)
    assert (entry.left_group, members(filled)) == (0, ["M", "O", "N"])


def test_an_import_does_not_subscribe_anybody_again(filled: Importing) -> None:
    with filled.store.engine.begin() as connection:
        connection.execute(update(membership).values(unsubscribed_at=func.now()))
    filled("user.Identifier,user.FirstName\nM,Mo\n")
    (found,) = (found for found in filled.contacts() if found["identifier"] == "M")
    assert found["first_name"] == "Mo"
    assert found["memberships"][0]["unsubscribed_at"] is not None


def test_member_attributes_are_stored_with_the_membership(filled: Importing) -> None:
    rows = "user.Identifier,user.Email,member.shop,member['Card number']\nM,,Köln,7\nN,n@x.org,Kiel,\nO,,,8\n"
    entry = filled(rows)
    assert filled.changes(entry)[2] == {"member.Shop": ["Ulm", "Köln"], "member.Card number": [None, "7"]}
    assert filled.changes(entry)[4] == {"member.Card number": [None, "8"]}
    attributes = {found["identifier"]: found["memberships"] for found in filled.contacts() if found["memberships"]}
    assert {key: found[0]["attributes"] for key, found in attributes.items() if key != "C"} == {
        "M": {"Shop": "Köln", "Card number": "7"},
        "O": {"Shop": "Bonn", "Card number": "8"},
        "N": {"Shop": "Kiel"},
    }


@pytest.mark.parametrize("mode", ["add", "add-contacts-as-members"])
def test_custom_values_of_a_profile_that_stays_are_not_written(filled: Importing, mode: str) -> None:
    filled("user.Email,user.CustomAttribute.colour\nc@x.org,red\n", use_external_identifier=False, group="Elsewhere")
    entry = filled("user.Identifier,user.CustomAttribute.colour\nC,blue\n", import_mode=mode)
    assert filled.changes(entry) == {2: {"groups": [None, "Newsletter"]}}
    assert [found["custom"] for found in filled.contacts() if found["identifier"] == "C"] == [{"colour": "red"}]
