"""Checks bytes as validation checks an arrival, and reads back what it left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from engage_etl.validated_rows.ranges import ReadableFile
from engage_etl.validated_rows.records import RecordReader
from engage_etl.validated_rows.stage_files import StageSummary, rejected_file, valid_file
from engage_etl.validated_rows.validation import Validation, validate
from engage_etl.vocabulary.custom_attribute import CustomAttribute
from engage_etl.vocabulary.options import ImportOptions
from engage_etl_tests.validated_rows.reading_files import csv_file, xml_reader


@dataclass
class Checked:
    """What validation left in the folder of an import."""

    folder: Path
    summary: StageSummary
    valid: list[dict[str, Any]]
    rejected: list[dict[str, Any]]

    @property
    def reasons(self) -> dict[int, str]:
        return {row["row"]: row["reason"] for row in self.rejected}

    @property
    def messages(self) -> dict[int, str]:
        return {row["row"]: row["message"] for row in self.rejected}

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.valid]


def check_csv(folder: Path, content: str | bytes, **how: Any) -> Checked:
    """Check a CSV text, matched on the identifier unless told otherwise."""
    options, rest = _options(how)
    return _check(folder, csv_file(folder, content, options=options), "contacts.csv", options, **rest)


def check_xml(folder: Path, content: str, **how: Any) -> Checked:
    """Check users of an XML file, matched on the identifier unless told otherwise."""
    options, rest = _options(how)
    return _check(folder, xml_reader(folder, f"<userdata>{content}</userdata>"), "contacts.xml", options, **rest)


def check_column(folder: Path, header: str, *values: str, **how: Any) -> Checked:
    """Check values of one column, beside an identifier; row 2 has the first of them."""
    quoted = ['"' + value.replace('"', '""') + '"' for value in values]
    lines = [f'"{name.replace(chr(34), chr(34) * 2)}"' for name in [header]] + quoted
    keys = ["user.Identifier", *(str(number) for number in range(1, len(values) + 1))]
    return check_csv(folder, "".join(f"{key},{line}\n" for key, line in zip(keys, lines, strict=True)), **how)


def _options(how: dict[str, Any]) -> tuple[ImportOptions, dict[str, Any]]:
    rest = {name: how.pop(name) for name in ("known", "chunk_rows", "into", "processes") if name in how}
    return ImportOptions(**{"group": "Newsletter", "use_external_identifier": True} | how), rest


def _check(
    folder: Path,
    source: ReadableFile | RecordReader,
    file: str,
    options: ImportOptions,
    *,
    known: Mapping[str, CustomAttribute] | None = None,
    chunk_rows: int = 1000,
    into: str = "import",
    processes: int = 0,
) -> Checked:
    stage = folder / into
    given = Validation(file=file, options=options, known=known or {}, chunk_rows=chunk_rows, processes=processes)
    summary = validate(source, given, stage)
    valid, rejected = (pq.read_table(name(stage)).to_pylist() for name in (valid_file, rejected_file))
    assert (summary.valid, summary.rejected) == (len(valid), len(rejected))
    assert summary.rows == len(valid) + len(rejected)
    return Checked(stage, summary, valid, rejected)
