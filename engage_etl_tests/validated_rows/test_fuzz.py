"""Bytes that nobody meant: only documented outcomes, no other exception, nothing lost (R23-R26, R38)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage_etl.errors import FileError
from engage_etl.raw_file.detection import detect_format
from engage_etl.raw_file.unpacking import archive_entries, is_gzip, is_zip, unpack_entry, unpack_gzip
from engage_etl.settings import Settings
from engage_etl.validated_rows.reading import open_reader
from engage_etl.validated_rows.stage_files import StageSummary, rejected_file, valid_file
from engage_etl.validated_rows.validation import Validation, validate
from engage_etl.vocabulary.options import ImportOptions
from engage_etl.vocabulary.outcomes import Reason

CORPUS = Path(__file__).parents[1] / "corpus"
FILES = sorted(path.with_suffix("").with_suffix("") for path in CORPUS.glob("*.expected.yaml"))
# Each run tries the same ones, so that no change is stopped by another one's luck; FUZZ_EXAMPLES=5000 tries others.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
BOUNDED = settings(max_examples=EXAMPLES or 250, derandomize=not EXAMPLES)
BY_IDENTIFIER = ImportOptions(group="Newsletter", use_external_identifier=True)
BY_ADDRESS = ImportOptions(group="Newsletter")
LIMITS = Settings(max_expanded_bytes=10_000_000, max_archive_entries=20)


def check(content: bytes, name: str, options: ImportOptions) -> StageSummary | None:
    """What detection, reading, validation and reporting make of some bytes; None: a file error."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "raw"
        path.write_bytes(content)
        try:
            path = unpack(path, Path(folder) / "unpacked", name)
            found = detect_format(path, name, options)
            reader = open_reader(path, name=name, format=found, options=options, max_cell_bytes=1_000_000)
            given = Validation(file=name, options=options, known={}, chunk_rows=7)
            summary = validate(reader, given, Path(folder) / "stage")
        except FileError as error:
            assert name in str(error)
            return None
        valid = pq.read_table(valid_file(Path(folder) / "stage"))["row"].to_pylist()
        rejected = pq.read_table(rejected_file(Path(folder) / "stage"))
        assert set(rejected["reason"].to_pylist()) <= {reason.value for reason in Reason}
        assert all(name in message for message in rejected["message"].to_pylist())
        rows = sorted([*valid, *rejected["row"].to_pylist()])
        assert len(set(rows)) == len(rows) == summary.rows
        # Every row of the reports comes from the file once more.
        assert [row for row, _ in reader.originals()] == rows
        return summary


def unpack(path: Path, folder: Path, name: str) -> Path:
    if is_gzip(path):
        return unpack_gzip(path, folder, name=name, settings=LIMITS)
    if is_zip(path):
        return unpack_entry(path, archive_entries(path, name, LIMITS)[0], folder, name=name, settings=LIMITS)
    return path


@given(content=st.binary(max_size=300), options=st.sampled_from([BY_IDENTIFIER, BY_ADDRESS]))
@BOUNDED
def test_any_bytes(content: bytes, options: ImportOptions) -> None:
    check(content, "any.bin", options)


START = st.sampled_from([
    b"user.Identifier,user.Email\n",
    b"\xff\xfeu\0s\0e\0r\0.\0E\0m\0a\0i\0l\0\n\0",
    b"<userdata><user>",
    b"PK\3\4",
    b"\x1f\x8b\x08",
    b"user.Email;user.CustomAttribute['",
    b"a@x.org\n",
    b'<?xml version="1.0" encoding="UTF-16"?><userdata>',
])  # fmt: skip


@given(start=START, content=st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
@BOUNDED
def test_any_bytes_after_a_right_start(start: bytes, content: bytes) -> None:
    check(start + content, "any.bin", BY_IDENTIFIER)


def truncated(content: bytes, draw: Callable[[st.SearchStrategy[int]], int]) -> bytes:
    return content[: draw(st.integers(0, len(content)))]


def flipped(content: bytes, draw: Callable[[st.SearchStrategy[int]], int]) -> bytes:
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 5))):
        if changed:
            changed[draw(st.integers(0, len(changed) - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(changed)


def spliced(content: bytes, draw: Callable[[st.SearchStrategy[int]], int]) -> bytes:
    place, width = draw(st.integers(0, len(content))), draw(st.integers(0, 40))
    return content[place : place + width] + content[:place] + content[place + width :] * draw(st.integers(0, 2))


@pytest.mark.parametrize("damage", [truncated, flipped, spliced])
@given(data=st.data())
@BOUNDED
def test_damaged_files_of_the_corpus(damage: Callable[..., bytes], data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(FILES))
    options = data.draw(st.sampled_from([BY_IDENTIFIER, BY_ADDRESS]))
    check(damage(file.read_bytes(), data.draw), file.name, options)
