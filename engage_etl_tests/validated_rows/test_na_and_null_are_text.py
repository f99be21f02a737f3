"""R4: every column is read as text, and nothing is ever parsed as "not available"."""

from __future__ import annotations

from pathlib import Path

import pytest

from engage_etl_tests.validated_rows.checking import check_csv, check_xml

WORDS = [
    "NA",
    "N/A",
    "#N/A",
    "n/a",
    "nan",
    "NaN",
    "-NaN",
    "null",
    "NULL",
    "None",
    "<NA>",
    "NaT",
    "inf",
    "True",
    "1.0",
    "007",
]


@pytest.mark.parametrize("word", WORDS)
def test_r4_in_every_column_of_text(tmp_path: Path, word: str) -> None:
    text = f"user.Identifier,user.FirstName,user.FaxNumber,user.CustomAttribute.a\n{word},{word},{word},{word}\n"
    [row] = check_csv(tmp_path, text).valid
    assert (row["identifier"], row["first_name"], row["app_alias"]) == (word, word, word)
    assert row["custom"] == f'{{"a":"{word}"}}'


def test_r4_in_xml(tmp_path: Path) -> None:
    users = "".join(f"<user><identifier><![CDATA[{word}]]></identifier></user>" for word in WORDS)
    assert check_xml(tmp_path, users).column("identifier") == WORDS


def test_r4_a_whole_column_of_numbers_stays_text(tmp_path: Path) -> None:
    text = "user.Identifier,user.ZipCode\n" + "".join(f"00{n},0{n}067\n" for n in range(1, 9))
    checked = check_csv(tmp_path, text, chunk_rows=3)
    assert checked.column("identifier") == [f"00{n}" for n in range(1, 9)]
    assert checked.column("zip_code") == [f"0{n}067" for n in range(1, 9)]


def test_r4_identifiers_longer_than_a_number_may_be(tmp_path: Path) -> None:
    given = ["9" * 40, "12345678901234567890", "0x1F", "1_000"]
    assert check_csv(tmp_path, "user.Identifier\n" + "".join(f"{one}\n" for one in given)).column("identifier") == given
