"""R19 (default rule), R20 (add-and-update), R33."""

from __future__ import annotations

from sqlalchemy import delete

from engage_etl.store.groups import create_group
from engage_etl.store.tables import membership
from engage_etl_tests.importing import Importing


def test_r19_a_blank_cell_changes_nothing(importing: Importing) -> None:
    importing.seed("user.Email,user.Identifier,user.FirstName,user.CustomAttribute.colour\na@x.org,1,Ann,red\n")
    entry = importing("user.Identifier,user.FirstName,user.CustomAttribute.colour,user.Email\n1,,,\n")
    assert importing.rows(entry) == [(2, "unchanged", None)]


def test_r33_an_unchanged_row_leaves_version_and_time(importing: Importing) -> None:
    importing.seed("user.Email,user.Identifier,user.Title\na@x.org,1,2\n")
    before = importing.contacts()
    entry = importing("user.Identifier,user.Email,user.Title\n1,a@x.org,2\n")
    assert importing.rows(entry) == [(2, "unchanged", None)]
    assert importing.contacts() == before


def test_r33_dates_compare_by_value(importing: Importing) -> None:
    importing.seed("user.Email,user.Identifier,user.DateOfBirth\na@x.org,1,1984-02-29T00:00:00Z\n")
    same = importing("user.Identifier,user.DateOfBirth\n1,1984-02-29T01:00:00+01:00\n")
    other = importing("user.Identifier,user.DateOfBirth\n1,1984-02-29T01:00:00\n")
    assert importing.rows(same) == [(2, "unchanged", None)]
    assert importing.changes(other)[2] == {"date_of_birth": ["1984-02-29T00:00:00Z", "1984-02-29T01:00:00"]}


def test_r33_country_and_language_codes_are_stored_in_one_case(importing: Importing) -> None:
    importing.seed("user.Email,user.Identifier,user.ISOCountryCode,user.ISOLanguageCode\na@x.org,1,de,DE\n")
    entry = importing("user.Identifier,user.ISOCountryCode,user.ISOLanguageCode\n1,DE,de\n")
    assert importing.column("country_code", "language_code") == [("DE", "de")]
    assert importing.rows(entry) == [(2, "unchanged", None)]


def test_r33_typed_custom_values_compare_by_value(importing: Importing) -> None:
    def file(number: str, date: str, flag: str) -> str:
        return (
            '<userdata><list><namedattr-definition name="Size" type="number"/>'
            '<namedattr-definition name="Last" type="date"/><namedattr-definition name="Vip" type="boolean"/>'
            f'<user><identifier>1</identifier><email>a@x.org</email><namedattr name="Size">{number}</namedattr>'
            f'<namedattr name="Last">{date}</namedattr><namedattr name="Vip">{flag}</namedattr></user></list></userdata>'
        )

    importing(file("3", "2026-01-01", "true"), name="a.xml")
    same = importing(file("3.0", "2026-01-01T00:00:00Z", "1"), name="b.xml")
    other = importing(file("4", "2026-01-02", "false"), name="c.xml")
    assert importing.rows(same) == [(1, "unchanged", None)]
    assert importing.changes(other)[1] == {
        "custom.Size": [3, 4],
        "custom.Last": ["2026-01-01", "2026-01-02"],
        "custom.Vip": [True, False],
    }


def test_r17_custom_names_are_one_regardless_of_case(importing: Importing) -> None:
    importing.seed("user.Email,user.Identifier,user.CustomAttribute.Colour\na@x.org,1,red\n")
    entry = importing("user.Identifier,user.customattribute['COLOUR']\n1,blue\n")
    assert importing.changes(entry)[2] == {"custom.Colour": ["red", "blue"]}
    assert importing.column("custom") == [({"Colour": "blue"},)]


def test_r20_a_contact_outside_the_group_becomes_a_member(importing: Importing) -> None:
    importing.seed("user.Email,user.Identifier\na@x.org,1\n")
    with importing.store.engine.begin() as connection:
        connection.execute(delete(membership))
    version = importing.contacts()[0]["version"]
    entry = importing("user.Identifier\n1\n")
    (found,) = importing.contacts(history=True)
    assert importing.rows(entry) == [(2, "updated", None)]
    assert importing.changes(entry)[2] == {"groups": [None, "Newsletter"]}
    assert found["groups"] == ["Newsletter"] and found["version"] == version + 1
    assert found["history"][-1]["changes"] == {"groups": [None, "Newsletter"]}


def test_r20_rejected_and_skipped_rows_join_no_group(importing: Importing) -> None:
    importing.seed("user.Email,user.Identifier\na@x.org,1\n")
    with importing.store.engine.begin() as connection:
        create_group(connection, "Other")
    importing("user.Identifier,user.Email\n1,not-an-address\n", group="Other")
    assert importing.column("groups") == [(["Newsletter"],)]
