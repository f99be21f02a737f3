"""R4, R14, R15, R18: identifiers are texts, compared exactly, never trimmed and never a spreadsheet's numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from engage_etl_tests.validated_rows.checking import Checked, check_csv, check_xml


def identifiers(folder: Path, *values: str, **options: str) -> Checked:
    lines = "".join('"' + value.replace('"', '""') + '",Ann\n' for value in values)
    return check_csv(folder, "user.Identifier,user.FirstName\n" + lines, **options)


def test_r4_r14_texts_that_are_identifiers(tmp_path: Path) -> None:
    given = [
        "7",
        "007",
        "CRM-17",
        "a_b/c#1",
        "Größe",
        "é",
        "x" * 2000,
        "null",
        "NA",
        "-",
        '"',
        "1.5",
        "1e",
        "e10",
        "😀",
        "1E5",
        "12e3",
    ]
    checked = identifiers(tmp_path, *given)
    assert checked.column("identifier") == given
    assert checked.column("match_key") == given
    assert set(checked.column("match_kind")) == {"identifier"}


@pytest.mark.parametrize(
    "value",
    [
        " 7",
        "7 ",
        "7\t",
        "a b",
        "a\u00a0b",
        "\u30007",
        "7\n",
        "7\x85",
        "7\x1f",
        "7\x7f",
        " ",
        "x" * 2001,
        "a\u200bb",
        "\ufeff7",
        "a\u00adb",
        "7\u200e",
    ],
)
def test_r14_white_space_control_characters_and_excess_length(tmp_path: Path, value: str) -> None:
    assert identifiers(tmp_path, value).reasons == {2: "identifier_malformed"}


@pytest.mark.parametrize("value", ["1.23E+11", "1,23E+11", "1E+05", "4.9e+15", "1.23457E+15", "-1.5E+10"])
def test_r15_mangled_by_a_spreadsheet(tmp_path: Path, value: str) -> None:
    checked = identifiers(tmp_path, value)
    assert checked.reasons == {2: "identifier_mangled"}
    assert "format the column as text" in checked.messages[2]
    assert identifiers(tmp_path, value, mangled_identifiers="accept").column("identifier") == [value]


def test_r14_letters_and_digits_only(tmp_path: Path) -> None:
    checked = identifiers(tmp_path, "Ab1", "a-1", "ä1", "a_1", "a²", identifier_pattern="alphanumeric")
    assert checked.column("identifier") == ["Ab1", "ä1"]
    assert checked.reasons == dict.fromkeys((3, 5, 6), "identifier_malformed")


def test_r14_a_regular_expression_for_the_whole_identifier(tmp_path: Path) -> None:
    checked = identifiers(tmp_path, "C-1", "C-12", "xC-1", "C-1x", identifier_pattern=r"C-\d+|C")
    assert checked.column("identifier") == ["C-1", "C-12"]
    assert r"C-\d+|C" in checked.messages[4]


def test_r14_a_pattern_narrows_and_never_widens(tmp_path: Path) -> None:
    assert identifiers(tmp_path, "a b", identifier_pattern=".*").reasons == {2: "identifier_malformed"}


def test_r18_the_identifier_of_an_xml_file_is_trimmed(tmp_path: Path) -> None:
    checked = check_xml(tmp_path, "<user><identifier>\n  7 \n</identifier></user>")
    assert checked.column("identifier") == ["7"]


def test_r3_an_identifier_beside_the_address_is_checked_too(tmp_path: Path) -> None:
    text = "user.Email,user.Identifier\na@example.com,a b\nb@example.com,\nc@example.com,7\n"
    checked = check_csv(tmp_path, text, use_external_identifier=False)
    assert checked.reasons == {2: "identifier_malformed"}
    assert checked.column("identifier") == ["", "7"]


def test_r14_what_cannot_be_seen_is_named(tmp_path: Path) -> None:
    checked = identifiers(tmp_path, "a\u200bb", "7\u00a0", "7\x07")
    assert "it has U+200B (ZERO WIDTH SPACE) at character 2" in checked.messages[2]
    assert "it has U+00A0 (NO-BREAK SPACE) at character 2" in checked.messages[3]
    assert "it has U+0007 (a control character) at character 2" in checked.messages[4]
