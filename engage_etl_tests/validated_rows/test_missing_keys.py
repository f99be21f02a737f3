"""R3, R9: a row without the value that it is matched on is rejected, and never falls back to another one."""

from __future__ import annotations

from pathlib import Path

from engage_etl_tests.validated_rows.checking import check_csv, check_xml


def test_r9_a_blank_identifier_never_falls_back_to_the_address(tmp_path: Path) -> None:
    checked = check_csv(tmp_path, "user.Identifier,user.Email\n,ann@example.com\n7,bob@example.com\n")
    assert checked.reasons == {2: "identifier_missing"}
    assert checked.column("match_key") == ["7"]


def test_r9_a_user_without_the_element_or_with_a_blank_one(tmp_path: Path) -> None:
    users = "<user><email>a@example.com</email></user><user><identifier> </identifier></user>"
    checked = check_xml(tmp_path, users)
    assert checked.reasons == {1: "identifier_missing", 2: "identifier_missing"}


def test_r9_comes_before_the_faults_of_values_and_all_are_named(tmp_path: Path) -> None:
    checked = check_csv(tmp_path, "user.Identifier,user.Title\n,9\n")
    [row] = checked.rejected
    assert (row["reason"], row["fields"]) == ("identifier_missing", ["title"])


def test_r3_a_blank_address_in_the_first_column(tmp_path: Path) -> None:
    text = "user.MobileNumber,user.Email,user.Identifier\n,ann@example.com,7\n49151123456,,\n"
    checked = check_csv(tmp_path, text, use_external_identifier=False)
    assert checked.reasons == {2: "address_missing"}
    assert [(row["match_kind"], row["match_key"]) for row in checked.valid] == [("mobile_number", "49151123456")]


def test_r3_the_first_address_that_an_xml_user_has(tmp_path: Path) -> None:
    users = (
        "<user><mobilenumber>+49151123456</mobilenumber><faxnumber>app</faxnumber></user>"
        "<user><faxnumber>App</faxnumber></user>"
        "<user><faxnumber>app</faxnumber><email>Ann@Example.com</email></user>"
        "<user><email/><mobilenumber>49151123456</mobilenumber></user>"
        "<user><identifier>7</identifier></user>"
    )
    checked = check_xml(tmp_path, users, use_external_identifier=False)
    assert [(row["match_kind"], row["match_key"]) for row in checked.valid] == [
        ("mobile_number", "49151123456"),
        ("app_alias", "App"),
        ("email", "ann@example.com"),
    ]
    assert checked.reasons == {4: "address_missing", 5: "address_missing"}
