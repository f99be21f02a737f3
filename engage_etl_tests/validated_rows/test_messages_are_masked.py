"""R41: messages show personal data masked; identifiers, titles and codes are not personal."""

from __future__ import annotations

from pathlib import Path

import pytest

from engage_etl.vocabulary.attributes import ATTRIBUTES
from engage_etl.vocabulary.custom_attribute import CustomAttribute, CustomType
from engage_etl.vocabulary.masking import mask
from engage_etl_tests.validated_rows.checking import check_column, check_csv

BAD = "swordfish " + "x" * 2000


@pytest.mark.parametrize("header", [attribute.header for attribute in ATTRIBUTES if attribute.personal])
def test_r41_personal_values(tmp_path: Path, header: str) -> None:
    [message] = check_column(tmp_path, header, BAD).messages.values()
    assert "swordfish" not in message and "s…x" in message


def test_r41_custom_values(tmp_path: Path) -> None:
    known = {"a": CustomAttribute(name="a", type=CustomType.NUMBER)}
    [message] = check_column(tmp_path, "user.CustomAttribute.a", "swordfish", known=known).messages.values()
    assert "swordfish" not in message and '"s…h"' in message


def test_r41_an_address_keeps_its_top_level_domain_only(tmp_path: Path) -> None:
    [message] = check_column(tmp_path, "user.Email", "ann..muster@example.com").messages.values()
    assert '"a…@….com"' in message and "muster" not in message and "example.com" not in message.split(",")[1]


def test_r41_identifiers_and_codes_are_clear(tmp_path: Path) -> None:
    text = "user.Identifier,user.Title,user.ISOCountryCode,user.TimeZone\nC 17,Mrs,GX,Europe/Berln\n"
    [message] = check_csv(tmp_path, text).messages.values()
    assert all(f'"{value}"' in message for value in ("C 17", "Mrs", "GX", "Europe/Berln"))


def test_r41_names_and_addresses_in_a_column_of_codes_are_masked(tmp_path: Path) -> None:
    """Where a file has its columns shifted, anything may stand anywhere."""
    header = "user.Identifier,user.Title,user.ISOCountryCode,user.ISOLanguageCode,user.TimeZone"
    text = f"{header}\nx swordfish@x.org,Swordfish,swordfish@x.org,Swordfish,swordfish@x.org\n"
    [message] = check_csv(tmp_path, text).messages.values()
    assert "wordfish" not in message and message.count('"') == 10


def test_r41_a_name_in_the_column_of_identifiers_is_masked(tmp_path: Path) -> None:
    [message] = check_csv(tmp_path, "user.Identifier,user.FirstName\nAnna Swordfish,1\n").messages.values()
    assert "Swordfish" not in message and 'user.Identifier is "A…h"' in message


def test_r41_an_identifier_is_cut_off_where_it_is_long(tmp_path: Path) -> None:
    [message] = check_csv(tmp_path, f"user.Identifier\n{'x1' * 1500}\n").messages.values()
    assert len(message) < 400


def test_r41_a_malformed_row_shows_none_of_its_text(tmp_path: Path) -> None:
    text = 'user.Identifier,user.FirstName\n1,Swordfish,x\n"2"Swordfish,x\n3,Swordfish\0\n'
    checked = check_csv(tmp_path, text.encode() + b"4,Swordfish\xe4\n")
    assert list(checked.reasons) == [2, 3, 4, 5]
    assert not any("Swordfish" in message for message in checked.messages.values())


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", ""),
        ("a", "…"),
        ("ab", "…"),
        ("abc", "a…"),
        ("abcde", "a…e"),
        ("ann@example.com", "a…@….com"),
        ("a@b.c\n", "a…@….c\n"),
    ],
)
def test_r41_what_masking_leaves(value: str, shown: str) -> None:
    assert mask(value) == shown
