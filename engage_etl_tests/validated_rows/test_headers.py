"""R3, R16, R17, R23, R39: a header is right, or the import ends with the column and the nearest known one."""

from __future__ import annotations

from pathlib import Path

import pytest

from engage_etl.errors import FileErrorCode, HeaderError
from engage_etl.validated_rows.header import Header, parse_header
from engage_etl.vocabulary.attributes import ATTRIBUTES, custom_header
from engage_etl_tests.validated_rows.reading_files import ON_ADDRESS, ON_IDENTIFIER, csv_reader, read_csv


def on_identifier(*cells: str) -> Header:
    return parse_header(list(cells), file="contacts.csv", options=ON_IDENTIFIER)


def on_address(*cells: str) -> Header:
    return parse_header(list(cells), file="contacts.csv", options=ON_ADDRESS)


@pytest.mark.parametrize("spelled", [str.lower, str.upper, str])
def test_every_standard_attribute_regardless_of_case(spelled: type[str]) -> None:
    header = on_identifier(*(spelled(attribute.header) for attribute in ATTRIBUTES))
    assert header.fields == tuple(attribute.field for attribute in ATTRIBUTES)


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("user.CustomAttribute.colour", "colour"),
        ("USER.CUSTOMATTRIBUTE.Colour", "Colour"),
        ("user.CustomAttribute['Favourite colour']", "Favourite colour"),
        ('user.CustomAttribute["Favourite colour"]', "Favourite colour"),
        ('user.CustomAttribute["Ann\'s colour"]', "Ann's colour"),
        ("user.CustomAttribute['a.b[c]']", "a.b[c]"),
        (f"user.CustomAttribute.{'x' * 80}", "x" * 80),
    ],
)
def test_custom_attributes_keep_their_spelling(cell: str, name: str) -> None:
    assert on_identifier("user.Identifier", cell).fields == ("identifier", f"custom.{name}")


@pytest.mark.parametrize("name", ["colour", "Favourite colour", "Ann's", "größe"])
def test_headers_that_we_write_are_read(name: str) -> None:
    assert on_identifier("user.Identifier", custom_header(name)).custom_names == [name]


@pytest.mark.parametrize(
    "name", ["user.CustomAttribute.", "user.CustomAttribute['']", "user.CustomAttribute." + "x" * 81]
)
def test_a_custom_attribute_has_a_name_of_up_to_80_characters(name: str) -> None:
    with pytest.raises(HeaderError, match="1 to 80 characters"):
        on_identifier("user.Identifier", name)


@pytest.mark.parametrize(
    ("cell", "nearest"),
    [
        ("user.Emial", "user.Email"),
        ("email", "user.Email"),
        (" user.Email", "user.Email"),
        ("First Name", "user.FirstName"),
        ("user.Custom.colour", None),
        ("qqqq", None),
    ],
)
def test_an_unknown_column_is_named_with_the_nearest(cell: str, nearest: str | None) -> None:
    with pytest.raises(HeaderError) as raised:
        on_identifier("user.Identifier", cell)
    assert raised.value.code is FileErrorCode.HEADER_INVALID
    assert raised.value.column == cell
    assert nearest is None or raised.value.nearest == nearest
    assert repr(cell) in str(raised.value) and "contacts.csv" in str(raised.value)


@pytest.mark.parametrize(
    "cells",
    [
        ("ann.muster@example.com", "Ann"),
        ("user.muster@example.com", "Ann"),
        ("Muster", "Ann"),
        ("4711;Muster", "Ann"),
        ("+4915112345678", "Muster"),
        ("user.Identifier", "muster@example.com"),
    ],
)
def test_r41_a_first_row_in_place_of_the_header_is_masked(cells: tuple[str, ...]) -> None:
    with pytest.raises(HeaderError) as raised:
        on_identifier(*cells)
    assert "uster" not in str(raised.value) and "uster" not in str(raised.value.column)


@pytest.mark.parametrize(
    "cells", [("email", "Shop"), ("First Name", "Shop"), ("user.Shop", "Ann"), ("Shop", "user.Title")]
)
def test_names_of_columns_are_shown_clear(cells: tuple[str, ...]) -> None:
    with pytest.raises(HeaderError) as raised:
        on_identifier(*cells)
    assert raised.value.column == cells[0]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("user.Email", "USER.EMAIL"),
        ("user.CustomAttribute.colour", "user.CustomAttribute.Colour"),
        ("user.CustomAttribute.colour", "user.CustomAttribute['COLOUR']"),
    ],
)
def test_the_same_attribute_twice(first: str, second: str) -> None:
    with pytest.raises(HeaderError, match="fill the same attribute") as raised:
        on_identifier("user.Identifier", first, second)
    assert raised.value.column == second


@pytest.mark.parametrize("cells", [("user.Identifier", ""), ("user.Identifier", " ")])
def test_an_empty_cell(cells: tuple[str, ...]) -> None:
    with pytest.raises(HeaderError, match="column 2 of the header is empty"):
        on_identifier(*cells)


def test_matching_on_the_identifier_needs_its_column() -> None:
    with pytest.raises(HeaderError, match=r"user\.Identifier is missing"):
        on_identifier("user.Email")
    assert on_identifier("user.Email", "user.Identifier").key_field is None


@pytest.mark.parametrize("cell", ["user.Email", "user.MobileNumber", "user.FaxNumber"])
def test_matching_on_addresses_takes_the_first_column(cell: str) -> None:
    header = on_address(cell, "user.Identifier")
    assert header.key_field == header.fields[0]


def test_matching_on_addresses_needs_one_in_the_first_column() -> None:
    with pytest.raises(HeaderError, match=r"'user\.FirstName'; expected one of user\.Email"):
        on_address("user.FirstName", "user.Email")


def test_the_columns_of_a_report_are_ignored(tmp_path: Path) -> None:
    header = on_address("import.row", "user.Email", "Import.Reason", "import.message")
    assert (header.fields, header.key_field) == ((None, "email", None, None), "email")
    with pytest.raises(HeaderError):
        on_address("import.row", "import.reason")
    text = "user.Email,import.row,import.reason,import.message,user.Title\na@b.de,3,value_invalid,x,1\n"
    whole = read_csv(tmp_path, text, options=ON_ADDRESS)
    assert whole.columns == {"email": ["a@b.de"], "title": ["1"]}
    assert whole.key_fields == ["email"]


def test_a_header_is_refused_before_the_first_row_is_read(tmp_path: Path) -> None:
    reader = csv_reader(tmp_path, 'user.Identifier,user.Emial\n1,"unclosed')
    with pytest.raises(HeaderError):
        next(reader.chunks(1))


def test_custom_attributes_of_the_header_are_definitions_without_type(tmp_path: Path) -> None:
    reader = csv_reader(tmp_path, "user.Identifier,user.CustomAttribute['Favourite colour']\n1,red\n")
    assert [(key, found.name, found.type) for key, found in reader.definitions.items()] == [
        ("favourite colour", "Favourite colour", None)
    ]
