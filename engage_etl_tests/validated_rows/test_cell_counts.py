"""R24, R38: a row with too few or too many cells is rejected, never padded, and no row is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from engage_etl_tests.validated_rows.checking import check_csv

HEADER = "user.Identifier,user.FirstName,user.LastName\n"


@pytest.mark.parametrize("line", ["1", "1,a", "1,a,b,c", "1,a,b,", ",", ",,,", '"1,a,b"', " "])
def test_r24_another_number_of_cells_than_the_header(tmp_path: Path, line: str) -> None:
    checked = check_csv(tmp_path, f"{HEADER}0,x,y\n{line}\n9,x,y\n")
    assert checked.reasons == {3: "row_malformed"}
    assert "and the header has 3" in checked.messages[3]
    assert checked.column("row") == [2, 4]


def test_r24_a_cell_more_is_not_taken_for_an_index(tmp_path: Path) -> None:
    """pandas' own reader takes the first column for an index when every row has one cell more."""
    checked = check_csv(tmp_path, HEADER + "1,a,b,c\n2,a,b,c\n")
    assert (checked.valid, list(checked.reasons)) == ([], [2, 3])


def test_r24_the_report_columns_count_as_cells(tmp_path: Path) -> None:
    text = "user.Identifier,import.row,import.reason,import.message\n1,5,value_invalid,x\n2\n"
    checked = check_csv(tmp_path, text)
    assert (checked.column("identifier"), checked.reasons) == (["1"], {3: "row_malformed"})


def test_r24_one_column(tmp_path: Path) -> None:
    checked = check_csv(tmp_path, 'user.Identifier\n1\n\n""\n2,3\n')
    assert checked.column("identifier") == ["1"]
    assert checked.reasons == {4: "identifier_missing", 5: "row_malformed"}
