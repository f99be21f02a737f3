"""A file in ranges leaves what it leaves in one piece, byte for byte, or ends with the same sentence (R4, R24, R30)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engage_etl.errors import FileError, UsageError
from engage_etl.raw_file.detection import detect_format
from engage_etl.validated_rows import range_files
from engage_etl.validated_rows.range_files import check_part, divide, join_parts
from engage_etl.validated_rows.ranges import ReadableFile
from engage_etl.validated_rows.stage_files import rejected_file, summary_file, valid_file
from engage_etl.validated_rows.validation import Validation, remove_unfinished, validate
from engage_etl.vocabulary.attributes import CustomType
from engage_etl.vocabulary.custom_attribute import CustomAttribute
from engage_etl.vocabulary.file_format import FileFormat
from engage_etl.vocabulary.options import FileType, ImportOptions, InvalidValues
from engage_etl_tests.validated_rows.reading_files import csv_file
from engage_etl_tests.validated_rows.test_fuzz import (
    BY_ADDRESS,
    BY_IDENTIFIER,
    FILES,
    flipped,
    spliced,
    truncated,
)

TABLES = [file for file in FILES if file.suffix != ".xml"]
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
BOUNDED = settings(max_examples=EXAMPLES or 50, derandomize=not EXAMPLES)
DROPS = ImportOptions(group="Newsletter", use_external_identifier=True, invalid_values=InvalidValues.DROP)
HEADER = "user.Identifier,user.Email,user.CustomAttribute.x\n"


@dataclass(frozen=True)
class Sizes:
    """range_bytes: of a range; chunk_rows: of a chunk; block_bytes: looked at at a time; cell: longest one, in bytes."""

    range_bytes: int
    chunk_rows: int
    block_bytes: int
    cell: int = 1_000_000


SIZES = st.builds(
    Sizes,
    st.sampled_from([1, 40, 40, 200, 200]),
    st.integers(1, 5),
    st.sampled_from([1, 2, 7, 64, 4096]),
    st.sampled_from([3, 12, 40, 1_000_000]),
)


def outcome(source: ReadableFile, sizes: Sizes, *, in_ranges: bool) -> dict[str, bytes] | tuple[str, str]:
    """What lies in the folder at the end, or code and sentence of the error."""
    checked_with = Validation(source.name, source.options, {}, sizes.chunk_rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            if in_ranges:
                # The last one first: no range needs another one.
                for number in reversed(range(divide(source, checked_with, folder, sizes.range_bytes))):
                    check_part(source, folder, number)
                join_parts(source, folder)
                remove_unfinished(folder)
            else:
                validate(source, checked_with, folder)
        except FileError as error:
            return error.code, str(error)
        return {file.name: file.read_bytes() for file in folder.iterdir()}


def demand_equal(source: ReadableFile, sizes: Sizes) -> None:
    whole = outcome(source, sizes, in_ranges=False)
    assert outcome(source, sizes, in_ranges=True) == whole
    assert isinstance(whole, tuple) or len(whole) == 3


def file_of(folder: str, content: bytes, name: str, options: ImportOptions, sizes: Sizes) -> ReadableFile | None:
    """The file as detection sees it; None where that is an error, or XML, which is never divided."""
    path = Path(folder) / "raw"
    path.write_bytes(content)
    try:
        found = detect_format(path, name, options)
    except FileError:
        return None
    if found.file_type is FileType.XML:
        return None
    return ReadableFile(path, name, found, options, sizes.cell, sizes.block_bytes)


@pytest.mark.parametrize("damage", [bytes, truncated, flipped, spliced])
@given(data=st.data(), sizes=SIZES, options=st.sampled_from([BY_IDENTIFIER, BY_ADDRESS, DROPS]))
@BOUNDED
def test_files_of_the_corpus_whole_and_damaged(
    damage: Callable[..., bytes], data: st.DataObject, sizes: Sizes, options: ImportOptions
) -> None:
    file = data.draw(st.sampled_from(TABLES))
    content = file.read_bytes() if damage is bytes else damage(file.read_bytes(), data.draw)
    with tempfile.TemporaryDirectory() as folder:
        if (source := file_of(folder, content, file.name, options, sizes)) is not None:
            demand_equal(source, sizes)


PIECES = st.sampled_from(
    ["1", "a@x.org", ",", ",", ",,", '"', '"', '""', '","', "\n", "\n", "\r\n", "\r", "\n\n", 'x"y', "é", "\0", "€" * 5]
)
CODECS = st.sampled_from(
    ["utf-8", "iso-8859-15", "cp1252", "utf-16-le", "utf-16-be", "utf-32-le", "shift_jis", "gb18030"]
)


@given(
    pieces=st.lists(PIECES, max_size=60), sizes=SIZES, codec=CODECS, has_mark=st.booleans(), tail=st.binary(max_size=3)
)
@example(pieces=['1,"a\r', '\nb"', "\n"] * 5, sizes=Sizes(1, 1, 2), codec="utf-16-le", has_mark=True, tail=b"\0")
@example(pieces=['1,x"y,\n'] * 9, sizes=Sizes(1, 2, 4096), codec="utf-8", has_mark=True, tail=b"")
@settings(BOUNDED, max_examples=EXAMPLES or 150)
def test_quotes_line_ends_and_encodings(
    pieces: list[str], sizes: Sizes, codec: str, has_mark: bool, tail: bytes
) -> None:
    mark = "\ufeff" if has_mark and codec.startswith("utf") else ""
    text = (mark + HEADER + "".join(pieces)).encode(codec, "replace")
    with tempfile.TemporaryDirectory() as name:
        source = csv_file(Path(name), text + tail, character_set=codec, max_cell_bytes=max(sizes.cell, 30))
        demand_equal(replace(source, block_bytes=sizes.block_bytes), sizes)


@given(lines=st.lists(st.sampled_from(["a@x.org", "", "b", "\0", "é@x.org", '"']), max_size=20), sizes=SIZES)
@settings(BOUNDED, max_examples=EXAMPLES or 30)
def test_text_lists(lines: list[str], sizes: Sizes) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "raw"
        path.write_text("\n".join(["a@x.org", *lines]))
        form = FileFormat(file_type=FileType.TEXT, separator=None, character_set="utf-8", detection={})
        demand_equal(ReadableFile(path, "list.txt", form, BY_ADDRESS, sizes.cell, sizes.block_bytes), sizes)


def ranges_of(source: ReadableFile, range_bytes: int = 1, chunk_rows: int = 10) -> list[int | None]:
    return [part.lines for part in source.ranges(range_bytes, chunk_rows)]


@pytest.mark.parametrize("codec", ["utf-8", "cp1252", "utf-16-le"])
@pytest.mark.parametrize("row", ["{0},a{0}@x.org,é\n", '"{0}","a{0}@x.org","a ""b""\r\n"\r\n', '{0},a{0}@x.org,x"y\n'])
def test_a_file_is_divided_whatever_its_cells_look_like(tmp_path: Path, row: str, codec: str) -> None:
    source = csv_file(tmp_path, HEADER + "".join(map(row.format, range(100))), character_set=codec)
    lines = row.count("\n")
    assert ranges_of(source) == [1 + 10 * lines, *[10 * lines] * 8, None]
    assert len(ranges_of(source, source.path.stat().st_size // 3)) == 3
    assert ranges_of(source, 10_000_000) == [None]


def test_an_encoding_in_which_a_byte_means_one_thing_or_another_is_not_divided(tmp_path: Path) -> None:
    source = csv_file(tmp_path, HEADER + "1,a@x.org,x\n" * 100, character_set="shift_jis")
    assert not source.is_divisible
    assert ranges_of(source) == [None]


def divided(folder: Path, content: str) -> tuple[ReadableFile, int, Validation]:
    source = csv_file(folder, content)
    given_ = Validation(source.name, BY_IDENTIFIER, {}, 2)
    return source, divide(source, given_, folder / "import", 1), given_


def test_the_first_error_of_the_file_is_told_whichever_is_found_first(tmp_path: Path) -> None:
    rows = "1,a@x.org,\n" * 4
    source = csv_file(tmp_path, HEADER + rows + '1,"x\n' + "y" * 40 + "\n" + rows + '2,"z\n', max_cell_bytes=30)
    whole = outcome(source, Sizes(1, 2, 4096), in_ranges=False)
    assert "line 6" in whole[1]
    assert outcome(source, Sizes(1, 2, 4096), in_ranges=True) == whole


def test_a_range_that_is_checked_again_takes_the_place_of_what_it_left(tmp_path: Path) -> None:
    source, number, given_ = divided(tmp_path, HEADER + "1,a@x.org,\n2,,\n3,c\n" * 5)
    for part in (*range(number), 0, 2):
        valid = tmp_path / "import" / f"valid.{part}.parquet.part"
        valid.write_bytes(b"half of what it was")
        check_part(source, tmp_path / "import", part)
    joined = join_parts(source, tmp_path / "import")
    assert joined == validate(source, given_, tmp_path / "whole")


def test_a_range_of_an_earlier_division_is_not_taken(tmp_path: Path) -> None:
    source, number, given_ = divided(tmp_path, HEADER + "1,a@x.org,\n" * 5)
    for part in range(number):
        check_part(source, tmp_path / "import", part)
    left = {file: file.read_bytes() for file in (tmp_path / "import").glob("found.*")}
    divide(source, given_, tmp_path / "import", 1)
    for file, text in left.items():
        file.write_bytes(text)
    with pytest.raises(
        UsageError, match="Range 1 of the file is not checked, or another run has divided the file since"
    ):
        join_parts(source, tmp_path / "import")
    with pytest.raises(UsageError, match=f"Range {number + 1} of the file"):
        check_part(source, tmp_path / "import", number)


def test_r17_all_ranges_are_checked_with_the_attributes_of_the_first_moment(tmp_path: Path) -> None:
    source = csv_file(tmp_path, HEADER + "1,a@x.org,red\n" * 4)
    number = CustomAttribute(name="x", type=CustomType.NUMBER)
    divide(source, Validation(source.name, BY_IDENTIFIER, {"x": number}, 2), tmp_path / "import", 1)
    assert range_files.load_division(tmp_path / "import").known == {"x": number}
    for part in range(2):
        assert check_part(source, tmp_path / "import", part) == 2
    assert join_parts(source, tmp_path / "import").reasons == {"value_invalid": 4}


def test_an_error_while_a_range_is_written_leaves_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _, _ = divided(tmp_path, HEADER + "1,a@x.org,\n" * 5)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(range_files, "write_rows", lambda checked, *files: [files[0].touch(), full()])
    with pytest.raises(OSError, match="No space left"):
        check_part(source, tmp_path / "import", 0)
    assert [file.name for file in (tmp_path / "import").iterdir()] == ["ranges.json.part"]
    names = (file(tmp_path / "import").exists() for file in (valid_file, rejected_file, summary_file))
    assert not any(names)
