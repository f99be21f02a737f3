"""R4, R18, R24: cells come out exactly as they were written, and wrong quotes never swallow a row silently."""

from __future__ import annotations

from pathlib import Path

import pytest

from engage_etl.errors import FileError, FileErrorCode
from engage_etl_tests.validated_rows.reading_files import csv_reader, read_all, read_csv

HEADER = "user.Identifier,user.FirstName\n"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_quotes_and_line_breaks_inside_quotes_belong_to_the_cell(tmp_path: Path, separator: str) -> None:
    text = separator.join(["user.Identifier", "user.FirstName"]) + f'\n1{separator}"a{separator}""b""\r\nc"\n'
    assert read_csv(tmp_path, text, separator=separator).records == [("1", f'a{separator}"b"\r\nc')]


def test_cells_are_neither_trimmed_nor_parsed(tmp_path: Path) -> None:
    cells = ["NA", "null", "None", "007", "1e5", " 7 ", "\u00a0", "TRUE", "1.0", "-", "\ufeff"]
    whole = read_csv(tmp_path, HEADER + "".join(f"{cell},{cell}\n" for cell in cells))
    assert whole.records == [(cell, cell) for cell in cells]


def test_a_quote_inside_an_unquoted_cell_is_text(tmp_path: Path) -> None:
    assert read_csv(tmp_path, HEADER + '1,5" pipe\n').records == [("1", '5" pipe')]


def test_text_behind_a_closing_quote_rejects_the_row_and_no_other(tmp_path: Path) -> None:
    whole = read_csv(tmp_path, HEADER + '1,Ann\n2,"x"y\n3,"a\nb"c\n5,Bob\n')
    assert whole.records == [("1", "Ann"), ("5", "Bob")]
    assert list(whole.malformed) == [3, 4]
    assert "double each quote" in whole.malformed[3]


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ('1,Ann\n2,"Bob\n3,Cleo\n', 3),
        ('1,"Ann', 2),
        ('"1\n2",a\n"3\n4","b\n', 5),
        ('"1 ""x"" ","\n', 2),
        ('1,x"y\n"a""\n', 3),
    ],
)
def test_a_quote_that_is_never_closed_refuses_the_file_and_names_its_line(tmp_path: Path, rows: str, line: int) -> None:
    with pytest.raises(FileError, match=f"the quote that opens on line {line} is not closed") as raised:
        read_csv(tmp_path, HEADER + rows)
    assert raised.value.code is FileErrorCode.CSV_INVALID


def test_a_quote_that_swallows_more_than_a_cell_may_have_refuses_the_file(tmp_path: Path) -> None:
    rows = '1,Ann\n2,"Bob\n' + "3,Cleo\n" * 1000
    with pytest.raises(FileError, match="opens on line 3 is not closed within 1,024 characters") as raised:
        read_csv(tmp_path, HEADER + rows, max_cell_bytes=1024)
    assert raised.value.code is FileErrorCode.CSV_INVALID


@pytest.mark.parametrize("cell", ["x" * 2000, '"' + "x" * 2000 + '"', '"a\nb",' + "x" * 2000])
def test_a_cell_that_is_too_long_rejects_its_row(tmp_path: Path, cell: str) -> None:
    whole = read_csv(tmp_path, f"{HEADER}1,{cell}\n2,Bob\n", max_cell_bytes=1024)
    assert whole.records == [("2", "Bob")]
    assert "1,024" in whole.malformed[2]


@pytest.mark.parametrize(("row", "cells"), [("2", "1 cell"), ("2,a,b", "3 cells"), ("2,a,", "3 cells")])
def test_too_few_or_too_many_cells_reject_the_row(tmp_path: Path, row: str, cells: str) -> None:
    whole = read_csv(tmp_path, f"{HEADER}1,Ann\n{row}\n3,Bob\n")
    assert whole.rows == [2, 4]
    assert f"it has {cells} and the header has 2" in whole.malformed[3]


def test_a_nul_character_rejects_the_row(tmp_path: Path) -> None:
    whole = read_csv(tmp_path, HEADER + "1,Ann\n2,\0\n3,Zo\u00e9\0\n4,Bob\n")
    assert whole.rows == [2, 5]
    assert list(whole.malformed) == [3, 4]
    assert "NUL" in whole.malformed[3]


def test_originals_give_back_malformed_rows_too(tmp_path: Path) -> None:
    reader = csv_reader(tmp_path, HEADER + '1,Ann\n2\n3,"x"y\r\n')
    assert reader.original_header() == ["user.Identifier", "user.FirstName"]
    assert list(reader.originals()) == [(2, ["1", "Ann"]), (3, ["2"]), (4, ['3,"x"y'])]
    assert read_all(reader).rows == [2]
