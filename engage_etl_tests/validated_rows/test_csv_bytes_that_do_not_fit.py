"""R24: bytes that do not fit the encoding reject their row, with the offset, and are never replaced silently."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from engage_etl.errors import FileError
from engage_etl.vocabulary.file_format import unfit_bytes_kept
from engage_etl_tests.validated_rows.reading_files import csv_reader, read_csv

HEADER = b"user.Identifier,user.FirstName\n"


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
@pytest.mark.parametrize("before", [b"", "1,Zoé\r\n".encode(), b"\n\n", '1,"é\né"\n'.encode()])
def test_the_message_names_the_offset_in_the_file(tmp_path: Path, mark: bytes, before: bytes) -> None:
    content = mark + HEADER + before + "8,é".encode() + b"\xe4\n9,Bob\n"
    whole = read_csv(tmp_path, content)
    [message] = whole.malformed.values()
    assert f"the byte at offset {content.index(0xE4)} does not fit the encoding utf-8" in message
    assert whole.records[-1] == ("9", "Bob")


def test_a_byte_that_windows_1252_lacks(tmp_path: Path) -> None:
    content = HEADER + b"1,\x80\n2,\x81\n"
    whole = read_csv(tmp_path, content, character_set="cp1252")
    assert whole.records == [("1", "€")]
    assert f"offset {content.index(0x81)} " in whole.malformed[3]


def test_originals_keep_the_bytes(tmp_path: Path) -> None:
    [(row, cells)] = csv_reader(tmp_path, HEADER + b"1,\xe4\n").originals()
    assert (row, [cell.encode("utf-8", "surrogateescape") for cell in cells]) == (2, [b"1", b"\xe4"])


def test_an_encoded_surrogate_is_no_utf8(tmp_path: Path) -> None:
    assert list(read_csv(tmp_path, HEADER + b"1,\xed\xb3\xa4\n2,Bob\n").malformed) == [2]


def test_a_header_that_does_not_fit_refuses_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="offset 37 does not fit"):
        read_csv(tmp_path, b"user.Identifier,user.CustomAttribute.\xe4\n1,a\n")


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("has_mark", [True, False])
def test_utf16(tmp_path: Path, codec: str, has_mark: bool) -> None:
    mark = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}[codec] if has_mark else b""
    text = HEADER.decode() + "1,Zoé 😀\r\n2,\u0a0d\u0d0a\n"
    whole = read_csv(tmp_path, mark + text.encode(codec), character_set=codec)
    assert whole.records == [("1", "Zoé 😀"), ("2", "\u0a0d\u0d0a")]


@pytest.mark.parametrize("rows", [0, 50_000])
def test_half_a_character_of_utf16_rejects_its_row_with_the_offset(tmp_path: Path, rows: int) -> None:
    """R24; and the report has the bytes as they were."""
    good = codecs.BOM_UTF16_LE + (HEADER.decode() + "1,Ann Müller\n" * rows).encode("utf-16-le")
    bad = "2,".encode("utf-16-le") + b"\x00\xdc" + "\n".encode("utf-16-le")
    whole = read_csv(tmp_path, good + bad + "3,Bob\n".encode("utf-16-le"), character_set="utf-16-le")
    assert list(whole.malformed) == [rows + 2]
    assert f"the byte at offset {len(good) + 4} does not fit" in whole.malformed[rows + 2]
    assert whole.rows[-1] == rows + 3
    cells = dict(whole.reader.originals())[rows + 2]
    assert cells[1].encode("utf-16-le", unfit_bytes_kept("utf-16-le")) == b"\x00\xdc"


def test_utf16_with_half_a_character_at_the_end(tmp_path: Path) -> None:
    good = (HEADER.decode() + "1,Ann").encode("utf-16-le")
    with pytest.raises(FileError, match=f"offset {len(good)} "):
        read_csv(tmp_path, good + b"x", character_set="utf-16-le")
