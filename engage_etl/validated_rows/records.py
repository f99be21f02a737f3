"""What the readers hand to the checks: chunks of records, column by column."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from engage_etl.vocabulary.attributes import CustomType


@dataclass(frozen=True)
class CustomDefinition:
    """A custom attribute as the file declares it: XML ``namedattr-definition`` (R25), or a CSV header (R17).

    type: None where the file does not say; allowed_values: of an enumeration, else None.
    """

    name: str
    type: CustomType | None = None
    allowed_values: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Malformed:
    """A record that could not be read as one: ``rejected``, ``row_malformed`` (R24, R25).

    row: row number; message: one sentence, values masked; line: of an XML file on which it starts, where known.
    """

    row: int
    message: str
    line: int | None = None


@dataclass
class Chunk:
    """Some consecutive records of the file, column by column.

    rows: row numbers, ascending; columns: for each field of the catalogue or ``custom.<name>`` that a record of the
    chunk fills, one value per entry of ``rows``; None: the record lacks the field, "": blank; key_fields: for each
    row the address field that it is matched on when matching is on addresses (R3), None: it has none; malformed:
    records that are no rows of this chunk; lines: of an XML file, on which each row starts, where known.
    """

    rows: list[int] = field(default_factory=list)
    columns: dict[str, list[str | None]] = field(default_factory=dict)
    key_fields: list[str | None] = field(default_factory=list)
    malformed: list[Malformed] = field(default_factory=list)
    lines: list[int | None] = field(default_factory=list)

    def place(self, position: int) -> str:
        """Where a row stands, for messages: ``row 7``, or ``row 7 (line 41)`` of an XML file."""
        return place(self.rows[position], self.lines[position] if self.lines else None)


def place(row: int, line: int | None) -> str:
    """Where a row stands, for messages."""
    return f"row {row}" if line is None else f"row {row} (line {line})"


class RecordReader(Protocol):
    """A reader of one file; iterating reads the file once, in a stream."""

    @property
    def columns(self) -> dict[str, str]:
        """Header cell (CSV) or element name (XML) to field, in file order; complete once the file is read."""
        ...

    @property
    def definitions(self) -> dict[str, CustomDefinition]:
        """Custom attributes of the file by custom_key(name); complete before the first chunk is yielded, for CSV
        and for XML definitions that precede the users."""
        ...

    @property
    def warnings(self) -> list[str]:
        """Sentences about what was passed over; complete once the file is read."""
        ...

    def chunks(self, size: int) -> Iterator[Chunk]:
        """Read the file in chunks of up to ``size`` records.

        Raises:
            FileError: the file as a whole cannot be read (R23-R25).
        """
        ...

    def original_header(self) -> list[str]:
        """The header that goes with ``originals``: as it stands in the file (CSV), or CSV headers (XML)."""
        ...

    def originals(self) -> Iterator[tuple[int, list[str]]]:
        """Row number and original cells of every record, malformed ones too, for the report (R39)."""
        ...
