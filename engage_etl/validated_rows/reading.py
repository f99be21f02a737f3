"""The reader that fits a file."""

from __future__ import annotations

from pathlib import Path

from engage_etl.validated_rows.csv_reader import CsvReader
from engage_etl.validated_rows.physical_lines import LineRange
from engage_etl.validated_rows.records import RecordReader
from engage_etl.validated_rows.text_reader import TextReader
from engage_etl.vocabulary.file_format import FileFormat
from engage_etl.vocabulary.options import FileType, ImportOptions


def open_reader(
    path: Path,
    *,
    name: str,
    format: FileFormat,
    options: ImportOptions,
    max_cell_bytes: int,
    part: LineRange | None = None,
) -> RecordReader:
    """A reader of one file; nothing is read before it is asked for.

    name: of the file, for messages; max_cell_bytes: longest cell of a CSV file; part: the range that is read, None: all of
    it; an XML file is read as a whole.
    """
    if format.file_type is FileType.XML:
        from engage_etl.validated_rows.xml_reader import XmlReader  # lxml is loaded for XML only

        return XmlReader(path, name=name)
    if format.file_type is FileType.TEXT:
        return TextReader(path, name=name, character_set=format.character_set, options=options, part=part)
    assert format.separator is not None, "a CSV file has a separator"
    return CsvReader(
        path,
        name=name,
        separator=format.separator,
        character_set=format.character_set,
        options=options,
        max_cell_bytes=max_cell_bytes,
        part=part,
    )
