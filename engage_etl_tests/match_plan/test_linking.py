"""R12: a new row whose address belongs to a contact without identifier."""

from __future__ import annotations

import pytest

from engage_etl_tests.importing import Importing

SEED = "user.Email,user.MobileNumber,user.FirstName\na@x.org,4911111,Ann\nb@x.org,4922222,Bob\n"


def test_it_is_rejected_with_a_word_about_that(importing: Importing) -> None:
    importing.seed(SEED)
    entry = importing("user.Identifier,user.Email\nX,A@x.org\n")
    assert importing.rows(entry) == [(2, "rejected", "address_in_use")]
    assert "has no external identifier" in importing.messages(entry)[2]


def test_link_unidentified_attaches_the_identifier(importing: Importing) -> None:
    importing.seed(SEED)
    entry = importing("user.Identifier,user.Email,user.FirstName\nX,A@x.org,Anna\n", link_unidentified=True)
    assert importing.rows(entry) == [(2, "updated", None)]
    assert importing.changes(entry) == {
        2: {"email": ["a@x.org", "A@x.org"], "identifier": [None, "X"], "first_name": ["Ann", "Anna"]}
    }
    assert importing.column("identifier", "email") == [("X", "A@x.org"), (None, "b@x.org")]
    again = importing("user.Identifier,user.Email,user.FirstName\nX,A@x.org,Anna\n", link_unidentified=True)
    assert importing.rows(again) == [(2, "unchanged", None)]


def test_a_contact_with_another_identifier_is_never_linked(importing: Importing) -> None:
    importing.seed("user.Email,user.Identifier\na@x.org,1\n")
    entry = importing("user.Identifier,user.Email\nX,a@x.org\n", link_unidentified=True)
    assert importing.rows(entry) == [(2, "rejected", "address_in_use")]


def test_who_is_meant_must_be_clear(importing: Importing) -> None:
    """Two contacts for one row, or two rows for one contact: both stay as R11 has them."""
    importing.seed(SEED)
    entry = importing("user.Identifier,user.Email,user.MobileNumber\nX,a@x.org,4922222\n", link_unidentified=True)
    assert importing.rows(entry) == [(2, "rejected", "address_in_use")]
    entry = importing("user.Identifier,user.Email,user.MobileNumber\nX,a@x.org,\nY,,4911111\n", link_unidentified=True)
    assert importing.rows(entry) == [(2, "rejected", "address_in_use"), (3, "rejected", "address_in_use")]


@pytest.mark.parametrize(
    ("mode", "row"),
    [
        ("add", (2, "updated", None)),
        ("add-and-update", (2, "updated", None)),
        ("replace", (2, "updated", None)),
        ("add-contacts-as-members", (2, "skipped", "not_in_mode")),
        ("update-current-members", (2, "skipped", "not_in_mode")),
    ],
)
def test_it_needs_a_mode_that_creates(importing: Importing, mode: str, row: tuple[object, ...]) -> None:
    importing.seed(SEED)
    entry = importing(
        "user.Identifier,user.Email,user.FirstName\nX,a@x.org,Anna\n", link_unidentified=True, import_mode=mode
    )
    assert importing.rows(entry) == [row]


def test_add_leaves_the_rest_of_the_profile_alone(importing: Importing) -> None:
    importing.seed(SEED)
    entry = importing(
        "user.Identifier,user.Email,user.FirstName\nX,a@x.org,Anna\n", link_unidentified=True, import_mode="add"
    )
    assert importing.changes(entry) == {2: {"identifier": [None, "X"]}}
