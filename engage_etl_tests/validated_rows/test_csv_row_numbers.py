"""R18, R24, R27: the row number is the physical line on which the record starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from engage_etl.errors import FileError, FileErrorCode, HeaderError
from engage_etl_tests.validated_rows.reading_files import csv_reader, read_all, read_csv

HEADER = "user.Identifier,user.FirstName"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(tmp_path: Path, end: str) -> None:
    whole = read_csv(tmp_path, end.join([HEADER, "1,Ann", "2,Bob", ""]))
    assert (whole.rows, whole.records) == ([2, 3], [("1", "Ann"), ("2", "Bob")])


def test_mixed_line_ends_and_none_at_the_end(tmp_path: Path) -> None:
    whole = read_csv(tmp_path, HEADER + "\r\n1,Ann\r2,Bob\n3,Cleo")
    assert (whole.rows, whole.records) == ([2, 3, 4], [("1", "Ann"), ("2", "Bob"), ("3", "Cleo")])


def test_other_line_separators_of_unicode_are_text(tmp_path: Path) -> None:
    cell = "a\u2028b\u0085c\x0bd\x0ce"
    assert read_csv(tmp_path, f"{HEADER}\n1,{cell}\n").records == [("1", cell)]


def test_a_record_of_several_lines_has_the_number_of_its_first(tmp_path: Path) -> None:
    whole = read_csv(tmp_path, HEADER + '\n1,"a\nb\r\nc\rd"\n2,Bob\n')
    assert whole.rows == [2, 6]


def test_a_blank_line_is_no_row_but_counts(tmp_path: Path) -> None:
    whole = read_csv(tmp_path, HEADER + "\n\n1,Ann\n\r\n\n2,Bob\n\n")
    assert (whole.rows, whole.malformed) == ([3, 6], {})


def test_a_line_of_separators_is_a_row_of_blanks(tmp_path: Path) -> None:
    whole = read_csv(tmp_path, HEADER + "\n,\n")
    assert (whole.rows, whole.records) == ([2], [("", "")])


def test_a_line_of_white_space_is_a_row_with_too_few_cells(tmp_path: Path) -> None:
    assert list(read_csv(tmp_path, HEADER + "\n  \n").malformed) == [2]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_the_size_of_chunks_changes_nothing(tmp_path: Path, size: int) -> None:
    whole = read_all(csv_reader(tmp_path, HEADER + '\n1,a\n2\n\n3,"b\n"\n4,c\n5'), size)
    assert (whole.rows, list(whole.malformed)) == ([2, 5, 7], [3, 8])


@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
def test_a_header_alone_is_a_file_of_no_rows(tmp_path: Path, end: str) -> None:
    whole = read_csv(tmp_path, HEADER + end)
    assert (whole.rows, whole.malformed) == ([], {})
    assert whole.reader.columns == {"user.Identifier": "identifier", "user.FirstName": "first_name"}


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError) as raised:
        read_csv(tmp_path, "")
    assert raised.value.code is FileErrorCode.FILE_EMPTY


def test_a_blank_first_line_is_a_blank_header(tmp_path: Path) -> None:
    with pytest.raises(HeaderError, match="the first line, which is the header, is empty"):
        read_csv(tmp_path, f"\n{HEADER}\n1,Ann\n")
