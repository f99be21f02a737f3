"""R24, R27: type, separator and encoding are stated or found out, and what was found is said."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import pytest

from engage_etl.errors import FileError, FileErrorCode
from engage_etl.raw_file.detection import detect_format
from engage_etl.vocabulary.file_format import FileFormat
from engage_etl.vocabulary.options import FileType, ImportOptions

HEADER = "user.Identifier,user.FirstName\n"


def detect(folder: Path, content: str | bytes, name: str = "contacts.csv", **options: Any) -> FileFormat:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return detect_format(path, name, ImportOptions(group="Newsletter", **options))


def refused(folder: Path, content: bytes, name: str = "contacts.csv", **options: Any) -> FileError:
    with pytest.raises(FileError) as raised:
        detect(folder, content, name, **options)
    assert name in str(raised.value)
    return raised.value


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_r24_the_separator_of_the_header(tmp_path: Path, separator: str) -> None:
    found = detect(tmp_path, separator.join(["user.Identifier", "user.FirstName", "user.Title"]) + "\n1;;,,||\t\n")
    assert (found.file_type, found.separator) == (FileType.CSV, separator)
    assert found.detection["separator"] == "detected (2 times in the header)"


def test_r24_separators_inside_quotes_do_not_count(tmp_path: Path) -> None:
    header = "user.Identifier;\"user.CustomAttribute['a,b,c']\"\n1;2\n"
    assert detect(tmp_path, header).separator == ";"


def test_r24_one_column_has_a_comma(tmp_path: Path) -> None:
    found = detect(tmp_path, "user.Identifier\n1\n")
    assert (found.separator, found.detection["separator"]) == (",", "assumed (one column)")


def test_r24_what_is_stated_wins(tmp_path: Path) -> None:
    found = detect(tmp_path, HEADER, separator="|", character_set="ISO-8859-15", file_type="csv")
    assert (found.separator, found.character_set) == ("|", "iso8859-15")
    assert set(found.detection.values()) == {"stated"}
    assert detect(tmp_path, "<userdata/>", file_type="csv").file_type is FileType.CSV
    assert detect(tmp_path, HEADER, file_type="xml").file_type is FileType.XML
    assert detect(tmp_path, HEADER, separator="tab").separator == "\t"


@pytest.mark.parametrize(
    ("mark", "character_set"),
    [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")],
)
def test_r24_a_byte_order_mark(tmp_path: Path, mark: bytes, character_set: str) -> None:
    found = detect(tmp_path, mark + (HEADER + "1,Zoé\n").encode(character_set))
    assert (found.character_set, found.separator) == (character_set, ",")
    assert found.detection["character_set"] == "byte-order mark"


@pytest.mark.parametrize("character_set", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("stated", [None, "UTF-16"])
def test_r24_utf16_without_mark(tmp_path: Path, character_set: str, stated: str | None) -> None:
    found = detect(tmp_path, (HEADER + "1,Zoé\n").encode(character_set), character_set=stated)
    assert (found.character_set, found.separator) == (character_set, ",")


def test_r24_utf8_stated_with_a_mark(tmp_path: Path) -> None:
    assert detect(tmp_path, codecs.BOM_UTF8 + HEADER.encode(), character_set="utf-8-sig").character_set == "utf-8"


def test_r24_plain_ascii_is_utf8(tmp_path: Path) -> None:
    found = detect(tmp_path, HEADER + "1,Ann\n")
    assert (found.character_set, "valid UTF-8" in found.detection["character_set"]) == ("utf-8", True)


@pytest.mark.parametrize("name", ["Müller", "Zoë Strauß", "José Peña"])
def test_r24_western_bytes_are_read_as_they_were_written(tmp_path: Path, name: str) -> None:
    content = (HEADER + f"1,{name}\n" * 20).encode("cp1252")
    found = detect(tmp_path, content)
    assert content.decode(found.character_set) == content.decode("cp1252")


def test_r24_the_first_byte_beyond_ascii_may_stand_late(tmp_path: Path) -> None:
    content = HEADER.encode() + b"1,Ann\n" * 300_000 + "2,Müller\n".encode("cp1252")
    assert detect(tmp_path, content).character_set in ("cp1252", "iso8859_1", "iso8859_15")


def test_r24_a_broken_row_does_not_change_the_encoding_of_the_others(tmp_path: Path) -> None:
    found = detect(tmp_path, (HEADER + "1,Müller\n" * 5).encode() + b"2,M\xfcller\n")
    assert found.character_set == "utf-8"
    assert "1 bytes are not" in found.detection["character_set"]


@pytest.mark.parametrize("start", ["<userdata/>", "  \n<userdata/>", '<?xml version="1.0"?><userdata/>'])
@pytest.mark.parametrize("character_set", ["utf-8", "utf-8-sig", "utf-16"])
def test_r25_xml_begins_with_a_tag_whatever_its_name(tmp_path: Path, start: str, character_set: str) -> None:
    found = detect(tmp_path, start.encode(character_set), "contacts.txt")
    assert (found.file_type, found.separator) == (FileType.XML, None)


def test_r25_the_declared_encoding_of_xml(tmp_path: Path) -> None:
    found = detect(tmp_path, '<?xml version="1.0" encoding="ISO-8859-15"?><userdata/>', "contacts.xml")
    assert (found.character_set, found.detection["character_set"]) == ("iso-8859-15", "declared in the XML")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500, "Excel"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "PDF"),
        (b"PAR1\x15\x04\x15\x08\x00\x00", "neither text nor XML"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\0\x01\x02" * 300, "neither text nor XML"),
    ],
)
def test_files_of_other_software_are_refused_with_what_to_do(tmp_path: Path, content: bytes, word: str) -> None:
    error = refused(tmp_path, content)
    assert error.code is FileErrorCode.FILE_TYPE_UNKNOWN
    assert word in str(error)


def test_a_stray_control_character_is_the_fault_of_its_row(tmp_path: Path) -> None:
    assert detect(tmp_path, HEADER + "1,A\0nn\n" + "2,Bob\n" * 20).file_type is FileType.CSV


@pytest.mark.parametrize(
    "content", [b"", b"\n", b" \r\n\t", codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF8 + b"\n"]
)
@pytest.mark.parametrize("file_type", [None, "csv", "xml"])
def test_r27_an_empty_file(tmp_path: Path, content: bytes, file_type: str | None) -> None:
    assert refused(tmp_path, content, file_type=file_type).code is FileErrorCode.FILE_EMPTY
