"""R18, R38, R41: what validation leaves in the folder of an import, whatever the size of chunks."""

from __future__ import annotations

import csv
import io
import stat
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage_etl.errors import FileError
from engage_etl.validated_rows.stage_files import (
    REJECTED_SCHEMA,
    VALID_SCHEMA,
    rejected_file,
    summary_file,
    valid_file,
)
from engage_etl.validated_rows.validation import load_summary
from engage_etl_tests.validated_rows.checking import check_csv, check_xml

HEADER = "user.Identifier,user.Email,user.MobileNumber,user.FirstName,user.CustomAttribute.Colour\n"
MIXED = HEADER + "".join(
    [
        "1,Ann@Example.com,+49151123456,Ann,red\n",
        "2,,,,\n",
        ",x,,,\n",
        "4,a@example.com\n",
        '5,b@example.com,,"B\nb",\n',
        "6,ann,123,,\n",
        "7,c@example.com,,Cleo,blue\n",
    ]
)


def test_a_valid_row_as_it_is_planned_with(tmp_path: Path) -> None:
    first, second, *_ = check_csv(tmp_path, MIXED).valid
    assert {name: value for name, value in first.items() if value is not None} == {
        "row": 2,
        "match_kind": "identifier",
        "match_key": "1",
        "identifier": "1",
        "email": "Ann@Example.com",
        "email_key": "ann@example.com",
        "mobile_number": "+49151123456",
        "mobile_key": "49151123456",
        "first_name": "Ann",
        "custom": '{"colour":"red"}',
    }
    assert (second["email"], second["email_key"], second["mobile_key"]) == ("", None, None)


def test_r18_r19_blank_is_the_empty_string_and_lacking_is_null(tmp_path: Path) -> None:
    users = (
        '<user><identifier>1</identifier><email/><namedattr name="a"/></user><user><identifier>2</identifier></user>'
    )
    checked = check_xml(tmp_path, users)
    assert checked.column("email") == ["", None]
    assert checked.column("custom") == ['{"a":null}', None]
    assert checked.column("first_name") == [None, None]


def test_the_columns_are_those_of_the_contract(tmp_path: Path) -> None:
    folder = check_csv(tmp_path, MIXED).folder
    assert pq.read_schema(valid_file(folder)).equals(VALID_SCHEMA)
    assert pq.read_schema(rejected_file(folder)).equals(REJECTED_SCHEMA)


def test_r38_the_counts_add_up_and_come_back(tmp_path: Path) -> None:
    checked = check_csv(tmp_path, MIXED)
    summary = checked.summary
    assert (summary.rows, summary.valid, summary.rejected) == (7, 4, 3)
    assert summary.reasons == {"identifier_missing": 1, "row_malformed": 1, "address_invalid": 1}
    assert checked.column("row") == [2, 3, 6, 9]
    assert checked.reasons == {4: "identifier_missing", 5: "row_malformed", 8: "address_invalid"}
    assert load_summary(checked.folder) == summary


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
def test_r10_the_size_of_chunks_changes_nothing(tmp_path: Path, size: int) -> None:
    whole = check_csv(tmp_path, MIXED)
    parts = check_csv(tmp_path, MIXED, chunk_rows=size, into="parts")
    assert (parts.valid, parts.rejected) == (whole.valid, whole.rejected)
    assert parts.summary.model_copy(update={"sha256": ""}) == whole.summary.model_copy(update={"sha256": ""})


def test_r30_the_same_file_has_the_same_hash(tmp_path: Path) -> None:
    first, second = (check_csv(tmp_path, MIXED, into=name).summary for name in ("first", "second"))
    other = check_csv(tmp_path, MIXED.replace("Cleo", "Clea"), into="other").summary
    assert len(first.sha256) == 64
    assert first == second
    assert first.sha256 != other.sha256


def test_r27_a_header_without_rows(tmp_path: Path) -> None:
    checked = check_csv(tmp_path, HEADER)
    assert (checked.summary.rows, checked.valid, checked.rejected) == (0, [], [])
    assert checked.summary.columns["user.Email"] == "email"


def test_a_file_that_is_refused_leaves_no_stage_file_of_before(tmp_path: Path) -> None:
    folder = check_csv(tmp_path, MIXED).folder
    with pytest.raises(FileError):
        check_csv(tmp_path, MIXED + '8,"open\n')
    assert not any(name(folder).exists() for name in (valid_file, rejected_file, summary_file))
    assert load_summary(folder) is None


def test_r41_stage_files_are_for_their_owner_only(tmp_path: Path) -> None:
    folder = check_csv(tmp_path, MIXED).folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


CELLS = st.sampled_from(["1", "2", " 2", "", "a@x.org", "nonsense", "99", "x\ny", '"', "é", "NA"])


@given(rows=st.lists(st.lists(CELLS, min_size=2, max_size=5), max_size=9), drops=st.booleans())
@settings(max_examples=60)
def test_r10_no_outcome_depends_on_the_size_of_chunks(rows: list[list[str]], drops: bool) -> None:
    text = io.StringIO()
    header = ["user.Identifier", "user.Email", "user.Title", "user.CustomAttribute.x"]
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    found = []
    for size in (1, 2, 7, 1000):
        with tempfile.TemporaryDirectory() as folder:
            checked = check_csv(
                Path(folder), text.getvalue(), chunk_rows=size, invalid_values="drop" if drops else "reject"
            )
        found.append((checked.valid, checked.rejected, checked.summary.model_copy(update={"sha256": ""})))
    assert all(one == found[0] for one in found)
