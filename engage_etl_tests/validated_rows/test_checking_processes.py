"""Large files are checked in further processes, which makes no difference but to the time that it takes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engage_etl.errors import FileError, FileErrorCode
from engage_etl.validated_rows.checking import Checked, ChunkCheck, Unchecked
from engage_etl.validated_rows.checking_processes import checked_beside, checked_by_all
from engage_etl.validated_rows.records import Chunk
from engage_etl.validated_rows.stage_files import rejected_file, valid_file
from engage_etl.validated_rows.validation import OneChunk
from engage_etl.vocabulary.attributes import CustomType
from engage_etl.vocabulary.custom_attribute import CustomAttribute
from engage_etl.vocabulary.options import ImportOptions
from engage_etl_tests.validated_rows.checking import check_csv, check_xml

HEADER = "user.Identifier,user.Email,user.Title,user.CustomAttribute.Colour\n"
ROWS = HEADER + "".join(f"{number},u{number}@example.com,{number % 4},red\n" for number in range(100))
COLOUR = {"colour": CustomAttribute(name="colour", type=CustomType.NUMBER)}


@pytest.mark.parametrize("options", [{}, {"invalid_values": "drop"}, {"import_mode": "remove"}])
def test_the_stage_files_are_the_same(tmp_path: Path, options: dict[str, str]) -> None:
    here = check_csv(tmp_path, ROWS, chunk_rows=7, into="here", **options)
    beside = check_csv(tmp_path, ROWS, chunk_rows=7, into="beside", processes=2, **options)
    assert beside.summary == here.summary
    assert len(here.valid) + len(here.rejected) == 100
    for file in (valid_file, rejected_file):
        assert file(beside.folder).read_bytes() == file(here.folder).read_bytes()


def test_a_file_error_is_told_as_it_is(tmp_path: Path) -> None:
    definition = '<namedattr-definition name="colour" type="string"/>'
    user = '<user><identifier>1</identifier><email>a@x.org</email><namedattr name="colour">red</namedattr></user>'
    with pytest.raises(FileError, match="'colour' is a string in the file and a number in the store") as beside:
        check_xml(tmp_path, f"<list>{definition}{user}</list>", known=COLOUR, processes=2)
    assert beside.value.code == "xml_invalid"


def test_an_error_of_the_reader_ends_the_process(tmp_path: Path) -> None:
    others = psutil.Process().children()
    with pytest.raises(FileError, match="is not closed"):
        check_csv(tmp_path, ROWS + '101,"u101@example.com', chunk_rows=7, processes=2)
    assert psutil.Process().children() == others


def test_a_process_that_is_killed_is_told(tmp_path: Path) -> None:
    others = psutil.Process().children()

    def chunks() -> Iterator[Unchecked]:
        yield Unchecked(Chunk(rows=[2], columns={"identifier": ["1"]}, key_fields=[None]), {}, {})
        (child,) = (child for child in psutil.Process().children() if child not in others)
        os.kill(child.pid, signal.SIGKILL)
        yield Unchecked(Chunk(rows=[3], columns={"identifier": ["2"]}, key_fields=[None]), {}, {})

    check = OneChunk(ChunkCheck("contacts.csv", ImportOptions(group="Newsletter"), {}))
    with pytest.raises(ChildProcessError, match=r"has ended \(exit code -9\)"):
        list(checked_beside(check, chunks()))


def test_the_first_error_is_told_whoever_finds_one() -> None:
    """This process is faster with its range than the other one, which has to start."""
    check = _Refusing()
    with pytest.raises(FileError, match=r"^range 0$"):
        list(checked_by_all(check, range(10), 2))


class _Refusing:
    """Finds something wrong with each range."""

    def __call__(self, question: int) -> list[Checked]:
        raise FileError(FileErrorCode.CSV_INVALID, f"range {question}")
