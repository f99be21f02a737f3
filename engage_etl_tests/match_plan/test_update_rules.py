"""R19: which blank and filled cells are written, per import and per field."""

from __future__ import annotations

import pytest

from engage_etl_tests.importing import Importing

SEED = (
    "user.Email,user.Identifier,user.MobileNumber,user.FirstName,user.Title,user.DateOfBirth,user.CustomAttribute.colour,"
    "member.shop\nann@x.org,1,4911111,Ann,2,1984-02-29,red,Ulm\n"
)
HEADER = "user.Identifier,user.MobileNumber,user.FirstName,user.LastName,user.CustomAttribute.colour,member.shop\n"
BLANK = HEADER + "1,,,,,\n"
FILLED = HEADER + "1,4922222,Anna,Muster,blue,Bonn\n"
STORED = ("4911111", "Ann", None, {"colour": "red"}, {"shop": "Ulm"})


def stored(importing: Importing) -> tuple[object, ...]:
    (found,) = importing.contacts()
    values = tuple(found[field] for field in ("mobile_number", "first_name", "last_name", "custom"))
    return (*values, found["memberships"][0]["attributes"])


@pytest.mark.parametrize(
    ("rule", "content", "expected"),
    [
        ("if-new-not-blank", BLANK, STORED),
        ("if-new-not-blank", FILLED, ("4922222", "Anna", "Muster", {"colour": "blue"}, {"shop": "Bonn"})),
        ("always", BLANK, (None, None, None, {}, {})),
        ("always", FILLED, ("4922222", "Anna", "Muster", {"colour": "blue"}, {"shop": "Bonn"})),
        ("if-stored-blank", BLANK, STORED),
        ("if-stored-blank", FILLED, ("4911111", "Ann", "Muster", {"colour": "red"}, {"shop": "Ulm"})),
    ],
)
def test_three_ways(importing: Importing, rule: str, content: str, expected: tuple[object, ...]) -> None:
    importing.seed(SEED)
    importing(content, update_rule=rule)
    assert stored(importing) == expected
    again = importing(content, update_rule=rule)
    assert importing.rows(again) == [(2, "unchanged", None)]


def test_clearing_is_told_field_by_field(importing: Importing) -> None:
    importing.seed(SEED)
    entry = importing(BLANK, update_rule="always")
    assert importing.changes(entry) == {
        2: {
            "mobile_number": ["4911111", None],
            "first_name": ["Ann", None],
            "custom.colour": ["red", None],
            "member.shop": ["Ulm", None],
        }
    }


def test_a_column_that_the_file_lacks_is_never_touched(importing: Importing) -> None:
    importing.seed(SEED)
    importing("user.Identifier,user.FirstName\n1,\n", update_rule="always")
    (found,) = importing.contacts()
    assert (found["first_name"], found["email"], found["title"], found["custom"]) == (
        None,
        "ann@x.org",
        2,
        {"colour": "red"},
    )


@pytest.mark.parametrize("column", ["user.Title", "user.DateOfBirth"])
def test_dates_and_titles_can_be_cleared(importing: Importing, column: str) -> None:
    importing.seed(SEED)
    entry = importing(f"user.Identifier,{column}\n1,\n", update_rule="always")
    assert importing.rows(entry) == [(2, "updated", None)]
    (found,) = importing.contacts()
    assert found["title" if column == "user.Title" else "date_of_birth"] is None


def test_a_rule_for_one_field(importing: Importing) -> None:
    importing.seed(SEED)
    rules = ["if-stored-blank", "user.firstname=always", "custom.COLOUR=always", "member.shop=if-new-not-blank"]
    importing(HEADER + "1,4922222,,Muster,,Bonn\n", update_rule=rules)
    assert stored(importing) == ("4911111", None, "Muster", {}, {"shop": "Bonn"})


def test_the_last_address_is_not_cleared(importing: Importing) -> None:
    """R19: ``address_required``; nothing of the row is written."""
    importing.seed(SEED)
    entry = importing("user.Identifier,user.Email,user.MobileNumber,user.FirstName\n1,,,Anna\n", update_rule="always")
    assert importing.rows(entry) == [(2, "rejected", "address_required")]
    assert stored(importing) == STORED
    entry = importing("user.Identifier,user.Email,user.FirstName\n1,,Anna\n", update_rule="always")
    assert importing.rows(entry) == [(2, "updated", None)]
    assert importing.column("email", "mobile_number", "first_name") == [(None, "4911111", "Anna")]


def test_a_cleared_address_is_free_for_another_row(importing: Importing) -> None:
    """R11 is judged on the state after the import; a row that is rejected frees nothing."""
    importing.seed("user.Email,user.Identifier,user.MobileNumber\na@x.org,1,4911111\nb@x.org,2,4922222\n")
    rows = "user.Identifier,user.Email,user.MobileNumber\n1,,4911111\n2,a@x.org,4922222\n"
    entry = importing(rows, update_rule="always")
    assert importing.rows(entry) == [(2, "updated", None), (3, "updated", None)]
    assert importing.column("identifier", "email") == [("1", None), ("2", "a@x.org")]


def test_an_address_that_is_not_cleared_after_all_is_not_free(importing: Importing) -> None:
    importing.seed("user.Email,user.Identifier,user.MobileNumber\na@x.org,1,\nb@x.org,2,4922222\n")
    rows = "user.Identifier,user.Email,user.MobileNumber\n1,,\n2,a@x.org,4922222\n"
    entry = importing(rows, update_rule="always")
    assert importing.rows(entry) == [(2, "rejected", "address_required"), (3, "rejected", "address_in_use")]


def test_an_address_that_is_not_written_is_not_taken(importing: Importing) -> None:
    """R11, R19: with if-stored-blank the row keeps its contact's address, so that the other's is no conflict."""
    importing.seed("user.Email,user.Identifier\na@x.org,1\nb@x.org,2\n")
    entry = importing("user.Identifier,user.Email,user.FirstName\n1,b@x.org,Ann\n", update_rule="if-stored-blank")
    assert importing.rows(entry) == [(2, "updated", None)]
    assert importing.changes(entry) == {2: {"first_name": [None, "Ann"]}}


def test_a_new_contact_is_filled_by_every_rule(importing: Importing) -> None:
    for number, rule in enumerate(("if-new-not-blank", "always", "if-stored-blank")):
        entry = importing(f"user.Identifier,user.Email,user.FirstName\n{number},n{number}@x.org,\n", update_rule=rule)
        assert importing.changes(entry) == {
            2: {"identifier": [None, str(number)], "email": [None, f"n{number}@x.org"], "groups": [None, "Newsletter"]}
        }


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ("sometimes", "'sometimes' is no update rule; expected 'if-new-not-blank' or 'always' or 'if-stored-blank'"),
        ("firstname=always", "there is no field 'firstname'.*Did you mean 'first_name'"),
        (["always", "if-stored-blank"], "both said for all fields"),
        (["first_name=always", "user.FirstName=always"], "has two rules"),
    ],
)
def test_a_wrong_rule_is_refused(importing: Importing, rules: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        importing.register(BLANK, update_rule=rules)
