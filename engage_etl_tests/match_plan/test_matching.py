"""Whom a row is about: R1-R9, R12, R13."""

from __future__ import annotations

from engage_etl_tests.importing import Importing

SEED = "user.Email,user.Identifier\nann@x.org,1001\nbob@x.org,1002\nwalk.in@x.org,\n"


def test_r1_matches_on_the_identifier_and_not_on_the_address(importing: Importing) -> None:
    importing.seed(SEED)
    entry = importing("user.Identifier,user.Email,user.FirstName\n1001,,Ann\n9001,new@x.org,Neu\n")
    assert importing.rows(entry) == [(2, "updated", None), (3, "created", None)]
    assert importing.changes(entry)[2] == {"first_name": [None, "Ann"]}


def test_r1_an_address_of_another_contact_does_not_match_that_contact(importing: Importing) -> None:
    importing.seed(SEED)
    entry = importing("user.Identifier,user.Email\n1001,bob@x.org\n")
    assert importing.rows(entry) == [(2, "rejected", "address_in_use")]
    assert importing.column("identifier", "email")[:2] == [("1001", "ann@x.org"), ("1002", "bob@x.org")]


def test_r3_off_matches_on_the_first_column(importing: Importing) -> None:
    importing.seed(SEED)
    entry = importing(
        "user.Email,user.Identifier,user.FirstName\nANN@x.org,2001,Ann\n,1002,Nobody\n", use_external_identifier=False
    )
    assert importing.rows(entry) == [(2, "updated", None), (3, "rejected", "address_missing")]
    assert importing.changes(entry)[2] == {
        "email": ["ann@x.org", "ANN@x.org"],
        "identifier": ["1001", "2001"],
        "first_name": [None, "Ann"],
    }


def test_r3_off_does_not_check_identifiers_for_uniqueness(importing: Importing) -> None:
    entry = importing("user.Email,user.Identifier\na@x.org,7\nb@x.org,7\n", use_external_identifier=False)
    assert importing.rows(entry) == [(2, "created", None), (3, "created", None)]


def test_r3_off_takes_the_first_address_of_an_xml_user(importing: Importing) -> None:
    importing.seed("user.MobileNumber,user.Email\n4911111111,ann@x.org\n")
    entry = importing(
        "<userdata><user><mobilenumber>+4911111111</mobilenumber><firstname>Ann</firstname></user>"
        "<user><email/><mobilenumber>4911111111</mobilenumber></user><user><firstname>No</firstname></user></userdata>",
        name="contacts.xml",
        use_external_identifier=False,
    )
    assert importing.rows(entry) == [
        (1, "updated", None),
        (2, "rejected", "address_missing"),
        (3, "rejected", "address_missing"),
    ]


def test_decision_0004_two_keys_of_one_contact_count_as_one_key(importing: Importing) -> None:
    importing.seed("user.Email,user.MobileNumber\nann@x.org,4911111111\n")
    entry = importing(
        "<userdata><user><email>ann@x.org</email><firstname>First</firstname></user>"
        "<user><mobilenumber>4911111111</mobilenumber><firstname>Last</firstname></user></userdata>",
        name="contacts.xml",
        use_external_identifier=False,
    )
    assert importing.rows(entry) == [(1, "skipped", "superseded"), (2, "updated", None)]
    assert importing.column("first_name") == [("Last",)]


def test_r4_identifiers_compare_exactly_as_text(importing: Importing) -> None:
    importing.seed("user.Email,user.Identifier\na@x.org,007\nb@x.org,abc\nc@x.org,NA\n")
    entry = importing(
        "user.Identifier,user.FirstName\n7,Seven\n007,Double\nABC,Upper\nabc,Lower\nNA,Namibia\nnull,Null\n"
    )
    assert importing.rows(entry) == [
        (2, "skipped", "no_standard_identifier"),
        (3, "updated", None),
        (4, "skipped", "no_standard_identifier"),
        (5, "updated", None),
        (6, "updated", None),
        (7, "skipped", "no_standard_identifier"),
    ]


def test_r5_the_address_is_overwritten_and_no_other_profile_comes_into_being(importing: Importing) -> None:
    importing.seed("user.Email,user.Identifier\nold.address@example.com,12345\n")
    entry = importing("user.identifier,user.email\n12345,user@example.com\n")
    assert importing.rows(entry) == [(2, "updated", None)]
    assert importing.changes(entry)[2] == {"email": ["old.address@example.com", "user@example.com"]}
    assert importing.column("identifier", "email") == [("12345", "user@example.com")]


def test_r6_a_new_identifier_with_an_address_creates_a_member(importing: Importing) -> None:
    entry = importing("user.Identifier,user.MobileNumber\n9001,+4915112345678\n")
    (found,) = importing.contacts()
    assert importing.rows(entry) == [(2, "created", None)]
    assert (found["identifier"], found["mobile_number"], found["groups"]) == ("9001", "+4915112345678", ["Newsletter"])


def test_r7_an_identifier_alone_never_creates_anyone(importing: Importing) -> None:
    entry = importing("user.Identifier,user.Email,user.FirstName\n9002,,Nobody\n")
    assert importing.rows(entry) == [(2, "skipped", "no_standard_identifier")]
    assert importing.contacts() == []


def test_r8_several_matches_change_nothing_and_are_named(importing: Importing) -> None:
    importing.seed("user.Email,user.Identifier\na@x.org,7\nb@x.org,7\n")
    before = importing.contacts()
    entry = importing("user.Identifier,user.Email\n7,c@x.org\n")
    assert importing.rows(entry) == [(2, "rejected", "identifier_ambiguous")]
    assert f"(ids {before[0]['contact_id']}, {before[1]['contact_id']})" in importing.messages(entry)[2]
    assert importing.contacts() == before


def test_r9_no_identifier_never_falls_back_to_the_address(importing: Importing) -> None:
    importing.seed(SEED)
    entry = importing("user.Identifier,user.Email,user.FirstName\n,ann@x.org,Ann\n")
    assert importing.rows(entry) == [(2, "rejected", "identifier_missing")]
    assert importing.column("first_name") == [(None,)] * 3


def test_r12_an_address_of_a_contact_without_identifier_is_in_use(importing: Importing) -> None:
    importing.seed(SEED)
    entry = importing("user.Identifier,user.Email\n9001,walk.in@x.org\n")
    assert importing.rows(entry) == [(2, "rejected", "address_in_use")]
    assert "has no external identifier" in importing.messages(entry)[2]


def test_r13_case_is_ignored_for_uniqueness_and_counts_as_a_change(importing: Importing) -> None:
    importing.seed(SEED)
    entry = importing("user.Identifier,user.Email\n1001,ANN@x.org\n9001,Bob@X.org\n")
    assert importing.rows(entry) == [(2, "updated", None), (3, "rejected", "address_in_use")]
    assert importing.changes(entry)[2] == {"email": ["ann@x.org", "ANN@x.org"]}


def test_r13_mobile_numbers_compare_without_plus(importing: Importing) -> None:
    importing.seed("user.MobileNumber,user.Identifier\n+4911111111,1\n")
    entry = importing("user.Identifier,user.MobileNumber\n2,4911111111\n1,4911111111\n")
    assert importing.rows(entry) == [(2, "rejected", "address_in_use"), (3, "updated", None)]
