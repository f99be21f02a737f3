"""R17: custom attributes have the type that the store or the file gives them; one that is new is created."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from engage_etl.errors import FileError
from engage_etl.vocabulary.attributes import CustomType
from engage_etl.vocabulary.custom_attribute import CustomAttribute
from engage_etl_tests.validated_rows.checking import Checked, check_column, check_csv, check_xml


def values_of(folder: Path, kind: CustomType, *values: str, allowed: tuple[str, ...] | None = None) -> Checked:
    known = {"a": CustomAttribute(name="A", type=kind, allowed_values=allowed)}
    return check_column(folder, "user.CustomAttribute.a", *values, known=known)


def typed(checked: Checked) -> list[object]:
    return [json.loads(text, parse_float=Decimal)["a"] for text in checked.column("custom")]


@pytest.mark.parametrize(
    ("kind", "texts", "values"),
    [
        (CustomType.STRING, ['a "b"', "x" * 2000, "1", "\\", "é"], ['a "b"', "x" * 2000, "1", "\\", "é"]),
        (CustomType.NUMBER, ["3", "-12.50", "+7", "007", "0.10"], [3, Decimal("-12.50"), 7, 7, Decimal("0.10")]),
        (CustomType.NUMBER, ["9" * 30, "0.12345678901234567890"], [int("9" * 30), Decimal("0.12345678901234567890")]),
        (CustomType.DATE, ["2024-02-29", "2024-02-29T12:00:00Z"], ["2024-02-29", "2024-02-29T12:00:00Z"]),
        (CustomType.BOOLEAN, ["true", "FALSE", "1", "0"], [True, False, True, False]),
        (CustomType.STRING, [""], [None]),
        (CustomType.NUMBER, [""], [None]),
    ],
)
def test_r17_values_that_fit(tmp_path: Path, kind: CustomType, texts: list[str], values: list[object]) -> None:
    checked = values_of(tmp_path, kind, *texts)
    assert checked.messages == {}
    assert typed(checked) == values


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (CustomType.STRING, "x" * 2001),
        *(
            (CustomType.NUMBER, value)
            for value in ("a", "1,5", "1e5", "NaN", "inf", "1.", ".5", "٣", " 3", "1_000", "--1")
        ),
        *((CustomType.DATE, value) for value in ("2023-02-29", "1.2.2024", "today")),
        *((CustomType.BOOLEAN, value) for value in ("yes", "2", "ja", " true")),
    ],
)
def test_r17_values_that_do_not_fit(tmp_path: Path, kind: CustomType, value: str) -> None:
    checked = values_of(tmp_path, kind, value)
    assert checked.reasons == {2: "value_invalid"}
    assert "user.CustomAttribute.a is" in checked.messages[2]


def test_r17_an_enumeration_is_exact(tmp_path: Path) -> None:
    checked = values_of(tmp_path, CustomType.STRING, "red", "Red", "green", "", allowed=("red", "blue"))
    assert checked.column("row") == [2, 5]
    assert "one of red, blue" in checked.messages[3]


def test_r17_a_new_attribute_is_a_string_and_listed(tmp_path: Path) -> None:
    text = "user.Identifier,user.CustomAttribute['Favourite colour']\n1,red\n"
    assert check_csv(tmp_path, text).summary.new_attributes == (CustomAttribute(name="Favourite colour"),)


def test_r17_a_known_attribute_is_not_new_whatever_its_case(tmp_path: Path) -> None:
    known = {"colour": CustomAttribute(name="Colour")}
    checked = check_csv(tmp_path, "user.Identifier,user.CustomAttribute.COLOUR\n1,red\n", known=known)
    assert (checked.summary.new_attributes, checked.column("custom")) == ((), ['{"colour":"red"}'])


def test_r17_an_attribute_that_only_rejected_or_blank_rows_fill_is_not_created(tmp_path: Path) -> None:
    text = "user.Identifier,user.CustomAttribute.a\n,red\n2,\n"
    assert check_csv(tmp_path, text).summary.new_attributes == ()


def test_r17_an_xml_file_gives_type_and_values(tmp_path: Path) -> None:
    users = (
        '<namedattr-definition name="Shoe size" type="number"/>'
        '<user><identifier>1</identifier><namedattr name="shoe size">41.5</namedattr></user>'
        '<user><identifier>2</identifier><namedattr name="SHOE SIZE">big</namedattr></user>'
    )
    checked = check_xml(tmp_path, users)
    assert checked.column("custom") == ['{"shoe size":41.5}']
    assert checked.reasons == {2: "value_invalid"}
    assert checked.summary.new_attributes == (CustomAttribute(name="Shoe size", type=CustomType.NUMBER),)


def test_r17_another_type_than_the_store_has_refuses_the_file(tmp_path: Path) -> None:
    known = {"a": CustomAttribute(name="a", type=CustomType.DATE)}
    users = '<namedattr-definition name="a" type="number"/><user><identifier>1</identifier><namedattr name="a">1</namedattr></user>'
    with pytest.raises(FileError, match="is a number in the file and a date in the store"):
        check_xml(tmp_path, users, known=known)


@pytest.mark.parametrize("chunk_rows", [1, 2, 100])
def test_r17_an_attribute_that_shows_up_late(tmp_path: Path, chunk_rows: int) -> None:
    users = "<user><identifier>1</identifier></user>" * 3 + (
        '<user><identifier>4</identifier><namedattr name="a">x</namedattr></user><user><identifier>5</identifier></user>'
    )
    checked = check_xml(tmp_path, users, chunk_rows=chunk_rows)
    assert checked.column("custom") == [None, None, None, '{"a":"x"}', None]
