"""Read a text list: one address per line, without a header."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from engage_etl.errors import FileError, FileErrorCode
from engage_etl.validated_rows.physical_lines import LineRange, PhysicalLines
from engage_etl.validated_rows.records import Chunk, CustomDefinition, Malformed
from engage_etl.vocabulary.attributes import BY_FIELD
from engage_etl.vocabulary.options import ImportMode, ImportOptions

_CORRECT_IT = "Correct the line and import it again."


class Line(NamedTuple):
    """A line that is not blank. row: its number, from 1; problem: why it is no text, if it is none."""

    row: int
    text: str
    problem: str | None


class TextReader:
    """A text list, read in a stream; matched on its addresses (R3).

    path: of the bytes; name: of the file, for messages. The first line says what the file lists: e-mail addresses where
    it has an ``@``, mobile numbers otherwise. Lines are not trimmed, and blank ones are no rows. part: the range of
    which lines are read, None: all.
    """

    def __init__(
        self, path: Path, *, name: str, character_set: str, options: ImportOptions, part: LineRange | None = None
    ) -> None:
        self._name, self._options = name, options
        self._lines = PhysicalLines(path, character_set, name)
        self._part = part
        self._kind: str | None = None
        self.warnings: list[str] = []

    @property
    def kind(self) -> str:
        """Field of the addresses that the file lists.

        Raises:
            FileError: the file is empty.
        """
        if self._kind is None:
            first = next(self._read(self._lines), None)
            if first is None:
                raise FileError(
                    FileErrorCode.FILE_EMPTY, f"{self._name}: the file is empty; expected an address per line."
                )
            self._kind = "email" if "@" in first.text else "mobile_number"
        return self._kind

    @property
    def columns(self) -> dict[str, str]:
        """The one column, under the header that it would have in CSV."""
        return {BY_FIELD[self.kind].header: self.kind}

    @property
    def definitions(self) -> dict[str, CustomDefinition]:
        """None: a text list has no custom attributes."""
        return {}

    def chunks(self, size: int) -> Iterator[Chunk]:
        """Read the lines in chunks of up to ``size``.

        Raises:
            FileError: the import needs more than addresses.
        """
        self._demand_nothing_more()
        kind, lines = self.kind, self._read(self._part_read)
        while block := list(islice(lines, size)):
            good = [line for line in block if line.problem is None]
            yield Chunk(
                rows=[line.row for line in good],
                columns={kind: [line.text for line in good]},
                key_fields=[kind] * len(good),
                malformed=[
                    Malformed(line.row, f"the line cannot be read: {line.problem}. {_CORRECT_IT}")
                    for line in block
                    if line.problem is not None
                ],
            )

    def original_header(self) -> list[str]:
        """The header that the addresses would have in CSV, so that a corrected report can be imported."""
        return list(self.columns)

    def originals(self) -> Iterator[tuple[int, list[str]]]:
        """Number and text of every line that is not blank."""
        return ((line.row, [line.text]) for line in self._read(self._part_read))

    def _demand_nothing_more(self) -> None:
        if self._options.use_external_identifier:
            raise self._refused(
                "rows are matched on the external identifier", "import without --use-external-identifier"
            )
        if self._options.import_mode is ImportMode.UPDATE_CURRENT_MEMBERS:
            mode = ImportMode.UPDATE_CURRENT_MEMBERS.value
            raise self._refused(f"the import mode {mode} writes profiles", "choose another --import-mode")

    def _refused(self, why: str, what_else: str) -> FileError:
        return FileError(
            FileErrorCode.HEADER_INVALID,
            f"{self._name}: the file is a list of addresses without a header, and {why}. "
            f"Add a header with names like user.Email, or {what_else}.",
        )

    @property
    def _part_read(self) -> PhysicalLines:
        return replace(self._lines, part=self._part)

    def _read(self, lines: PhysicalLines) -> Iterator[Line]:
        offset = lines.first_offset
        for row, line in enumerate(lines, lines.first_row):
            if text := line.rstrip("\r\n"):
                yield Line(row, text, self._fault(text, offset))
            offset += lines.length(line)

    def _fault(self, text: str, offset: int) -> str | None:
        if (place := self._lines.undecodable_offset(text)) is not None:
            return self._lines.unfit(offset + place)
        return "it has a NUL character; remove it" if "\0" in text else None
