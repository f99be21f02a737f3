"""Reads bytes as a reader would read them from an arrival."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engage_etl.validated_rows.ranges import ReadableFile
from engage_etl.validated_rows.records import RecordReader
from engage_etl.vocabulary.file_format import FileFormat
from engage_etl.vocabulary.options import FileType, ImportOptions

LONGEST_CELL = 16 * 1024 * 1024
ON_IDENTIFIER = ImportOptions(group="Newsletter", use_external_identifier=True)
ON_ADDRESS = ImportOptions(group="Newsletter")


@dataclass
class ReadFile:
    """All chunks of a file in one."""

    reader: RecordReader
    rows: list[int] = field(default_factory=list)
    columns: dict[str, list[str | None]] = field(default_factory=dict)
    key_fields: list[str | None] = field(default_factory=list)
    malformed: dict[int, str] = field(default_factory=dict)

    @property
    def records(self) -> list[tuple[str | None, ...]]:
        return list(zip(*self.columns.values(), strict=True))


def csv_file(
    folder: Path,
    content: str | bytes,
    *,
    separator: str = ",",
    character_set: str = "utf-8",
    options: ImportOptions = ON_IDENTIFIER,
    max_cell_bytes: int = LONGEST_CELL,
) -> ReadableFile:
    path = folder / "contacts.csv"
    path.write_bytes(content.encode(character_set) if isinstance(content, str) else content)
    form = FileFormat(file_type=FileType.CSV, separator=separator, character_set=character_set, detection={})
    return ReadableFile(path, path.name, form, options, max_cell_bytes)


def csv_reader(folder: Path, content: str | bytes, **how: Any) -> RecordReader:
    return csv_file(folder, content, **how).reader()


def xml_reader(folder: Path, content: str | bytes) -> RecordReader:
    path = folder / "contacts.xml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    form = FileFormat(file_type=FileType.XML, separator=None, character_set="utf-8", detection={})
    return ReadableFile(path, path.name, form, ON_IDENTIFIER, LONGEST_CELL).reader()


def read_all(reader: RecordReader, size: int = sys.maxsize) -> ReadFile:
    """Read a file to its end; a field that a chunk lacks is None there."""
    whole = ReadFile(reader)
    for chunk in reader.chunks(size):
        assert 1 <= len(chunk.rows) + len(chunk.malformed) <= size
        for name in chunk.columns:
            whole.columns.setdefault(name, [None] * len(whole.rows))
        for name, values in whole.columns.items():
            values.extend(chunk.columns.get(name, [None] * len(chunk.rows)))
        whole.rows.extend(chunk.rows)
        whole.key_fields.extend(chunk.key_fields)
        whole.malformed.update({bad.row: bad.message for bad in chunk.malformed})
    assert len(whole.key_fields) == len(whole.rows)
    return whole


def read_csv(folder: Path, content: str | bytes, **how: Any) -> ReadFile:
    return read_all(csv_reader(folder, content, **how))


def read_xml(folder: Path, content: str | bytes) -> ReadFile:
    return read_all(xml_reader(folder, content))
