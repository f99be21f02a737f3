"""The stage files of an import: Parquet, written by this stage and read by the planning.

``valid.parquet``, one row per valid row of the file, in file order:

========================  ======  =====================================================================
column                    type    meaning
========================  ======  =====================================================================
``row``                   int64   row number: CSV physical line, XML n-th user (R-terms "row")
``match_kind``            string  what the row is matched on: identifier, email, mobile_number, app_alias
``match_key``             string  the identifier, or the comparison form of the address (R1, R3, R13)
one per ATTRIBUTES        string  the checked value; null: the file lacks the field; "": blank
``email_key``             string  comparison form of the e-mail address (R13); null where lacking or blank
``mobile_key``            string  comparison form of the mobile number; null where lacking or blank
``custom``                string  JSON object, custom_key(name) to typed value; null value: blank; key
                                  absent: lacking; the column is null where the row has no custom values
========================  ======  =====================================================================

``rejected.parquet``, one row per row that validation rejects, in file order: ``row`` int64, ``reason`` string,
``message`` string (masked, one sentence), ``fields`` list of string (all bad fields).

``stage.json``: a StageSummary.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from engage_etl.vocabulary.attributes import ATTRIBUTES
from engage_etl.vocabulary.custom_attribute import CustomAttribute

VALID_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("match_kind", pa.string(), nullable=False),
        pa.field("match_key", pa.string(), nullable=False),
        *(pa.field(attribute.field, pa.string()) for attribute in ATTRIBUTES),
        pa.field("email_key", pa.string()),
        pa.field("mobile_key", pa.string()),
        pa.field("custom", pa.string()),
        pa.field("member", pa.string()),
        pa.field("warning", pa.string()),
    ]
)
"""Valid rows. custom, member: values as JSON objects by key; warning: what was dropped from the row (R18)."""

REJECTED_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
        pa.field("fields", pa.list_(pa.string())),
        pa.field("match_kind", pa.string()),
        pa.field("match_key", pa.string()),
    ]
)
"""Rejected rows. match_kind, match_key: null where the key that the row is matched on cannot be read (R20)."""


class StageSummary(BaseModel):
    """What validation found.

    rows: records of the file; valid, rejected: of these; reasons: rejected rows by reason; columns: header cells
    (CSV) or element names (XML) with the field each fills, in file order; new_attributes: custom attributes that the
    store lacks; member_attributes: names of the member attributes that valid rows fill; warnings: sentences for people;
    sha256: over both stage files, hexadecimal.
    """

    model_config = ConfigDict(frozen=True)

    rows: int
    valid: int
    rejected: int
    reasons: dict[str, int]
    columns: dict[str, str]
    new_attributes: tuple[CustomAttribute, ...] = ()
    member_attributes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    sha256: str = ""


def valid_file(folder: Path) -> Path:
    """Where the valid rows of the import with this folder are."""
    return folder / "valid.parquet"


def rejected_file(folder: Path) -> Path:
    """Where the rejected rows of the import with this folder are."""
    return folder / "rejected.parquet"


def summary_file(folder: Path) -> Path:
    """Where the summary of the validation of the import with this folder is."""
    return folder / "stage.json"


def row_groups(file: Path) -> list[int]:
    """The bytes of each row group of a stage file, not compressed."""
    with pq.ParquetFile(file) as parquet:
        return [parquet.metadata.row_group(group).total_byte_size for group in range(parquet.num_row_groups)]


def read_batches(file: Path, rows: int, columns: list[str], groups: range | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of a stage file in file order, at most so many at a time; memory does not grow with the file.

    groups: of these row groups only.
    """
    with pq.ParquetFile(file) as parquet:
        for group in range(parquet.num_row_groups) if groups is None else groups:
            # Asked for all groups at once, pyarrow keeps the compressed pages of those that it has read.
            yield from parquet.iter_batches(rows, row_groups=[group], columns=columns)


__all__ = [
    "REJECTED_SCHEMA",
    "VALID_SCHEMA",
    "CustomAttribute",
    "StageSummary",
    "read_batches",
    "rejected_file",
    "row_groups",
    "summary_file",
    "valid_file",
]
