"""R10, R31: stage files, and with them the hash of a plan, do not depend on how many rows are in memory at a time."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from engage_etl.validated_rows import stage_writer
from engage_etl.validated_rows.stage_files import rejected_file, valid_file
from engage_etl_tests.validated_rows.checking import check_csv

ROWS = "user.Identifier,user.Email,user.CustomAttribute.x\n" + "".join(
    f"{number},{'no address' if number % 7 == 0 else f'a{number}@x.org'},{number if number % 3 else ''}\n"
    for number in range(95)
)


@pytest.mark.parametrize("chunk_rows", [1, 9, 10, 11, 94, 1000])
def test_r10_files_are_the_same_whatever_the_size_of_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_rows: int
) -> None:
    monkeypatch.setattr(stage_writer, "ROWS_OF_A_GROUP", 10)
    (tmp_path / "usual").mkdir()
    (tmp_path / "other").mkdir()
    usual = check_csv(tmp_path / "usual", ROWS, chunk_rows=50)
    other = check_csv(tmp_path / "other", ROWS, chunk_rows=chunk_rows)
    assert other.summary == usual.summary
    for file in (valid_file, rejected_file):
        assert file(other.folder).read_bytes() == file(usual.folder).read_bytes()
    groups = pq.ParquetFile(valid_file(other.folder)).metadata
    assert [groups.row_group(number).num_rows for number in range(groups.num_row_groups)] == [10] * 8 + [1]
