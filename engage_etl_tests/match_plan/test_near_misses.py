"""Hints about identifiers that no contact has, but nearly; they change no outcome (R4)."""

from __future__ import annotations

import pytest

from engage_etl_tests.importing import Importing


@pytest.mark.parametrize(
    ("given", "stored"),
    [("123", "00123"), ("00123", "123"), ("abc", "ABC"), ("(K-7)", "k-7"), ("'123", "123"), ("#00x", "X")],
)
def test_the_message_names_the_nearly_right_one(importing: Importing, given: str, stored: str) -> None:
    importing.seed(f"user.Email,user.Identifier\na@x.org,{stored}\n")
    entry = importing(f"user.Identifier,user.FirstName\n{given},Ann\n")
    assert importing.rows(entry) == [(2, "skipped", "no_standard_identifier")]
    assert importing.messages(entry)[2].endswith(f"No contact {given}; {stored} exists.")


@pytest.mark.parametrize(
    ("given", "stored"), [("124", "123"), ("1230", "123"), ("K7", "K-7"), ("0", "00"), ("--", "-")]
)
def test_other_differences_are_no_near_misses(importing: Importing, given: str, stored: str) -> None:
    importing.seed(f"user.Email,user.Identifier\na@x.org,{stored}\n")
    entry = importing(f"user.Identifier\n{given}\n")
    assert "exists" not in importing.messages(entry)[2]


def test_a_contact_that_is_created_all_the_same_says_so(importing: Importing) -> None:
    importing.seed("user.Email,user.Identifier\na@x.org,00123\n")
    entry = importing("user.Identifier,user.Email\n123,b@x.org\n")
    assert importing.rows(entry) == [(2, "created", None)]
    assert importing.messages(entry) == {2: "contacts.csv, row 2: No contact 123; 00123 exists."}


def test_a_row_whose_address_is_taken_says_so_too(importing: Importing) -> None:
    importing.seed("user.Email,user.Identifier\na@x.org,00123\n")
    entry = importing("user.Identifier,user.Email\n123,a@x.org\n")
    assert importing.rows(entry) == [(2, "rejected", "address_in_use")]
    assert importing.messages(entry)[2].endswith("No contact 123; 00123 exists.")


def test_nothing_is_said_about_identifiers_that_match(importing: Importing) -> None:
    importing.seed("user.Email,user.Identifier\na@x.org,00123\nb@x.org,123\n")
    entry = importing("user.Identifier,user.FirstName\n123,Ann\n")
    assert importing.messages(entry) == {}
