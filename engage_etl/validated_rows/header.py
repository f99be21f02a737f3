"""The header of a CSV file: which cell fills which field (R16, R17, R23)."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from engage_etl.errors import HeaderError
from engage_etl.vocabulary.attributes import (
    ADDRESSES,
    ATTRIBUTES,
    BY_FIELD,
    BY_HEADER,
    CUSTOM,
    IDENTIFIER,
    LONGEST_CUSTOM_NAME,
    MEMBER,
    custom_key,
    free_name,
    is_free,
)
from engage_etl.vocabulary.masking import mask
from engage_etl.vocabulary.options import ImportOptions

REPORT_COLUMNS = ("import.row", "import.reason", "import.message")
"""Columns of a report that is imported again; they are ignored (R39)."""

_FREE_HEADER = re.compile(
    r"(?P<kind>user\.customattribute|member)(?:\.(?P<plain>.*)|\[\s*(?P<quote>['\"])(?P<quoted>.*)(?P=quote)\s*\])",
    re.IGNORECASE | re.DOTALL,
)
_CUSTOM_EXAMPLE = "user.CustomAttribute.name"
_WHAT_TO_DO = "Correct the header and import the file again."


@dataclass(frozen=True)
class Header:
    """A header that is right.

    cells: as they stand in the file; fields: for each cell a field of the catalogue, ``custom.<name>``, or None for a
    column that is ignored; key_field: the address that rows are matched on when matching is on addresses (R3).
    """

    cells: tuple[str, ...]
    fields: tuple[str | None, ...]
    key_field: str | None

    @property
    def columns(self) -> dict[str, str]:
        """Cell to field, without the ignored ones."""
        return {cell: field for cell, field in zip(self.cells, self.fields, strict=True) if field is not None}

    @property
    def custom_names(self) -> list[str]:
        """Names of the custom attributes, as spelled."""
        return [free_name(field) for field in self.fields if field is not None and field.startswith(CUSTOM)]


def parse_header(cells: list[str], *, file: str, options: ImportOptions) -> Header:
    """Read the cells of a header.

    file: name for messages.

    Raises:
        HeaderError: an unknown, empty or repeated column, or no key column (R3, R23); names column and nearest header.
    """
    if not cells:
        raise HeaderError(
            f"{file}: the first line, which is the header, is empty; expected names like user.Email. {_WHAT_TO_DO}"
        )
    is_header = any(_is_known(cell) for cell in cells)
    fields = tuple(_field(cell, position, file, is_header=is_header) for position, cell in enumerate(cells, 1))
    _refuse_repeated(cells, fields, file)
    used = [field for field in fields if field is not None]
    if options.use_external_identifier:
        _demand_identifier(used, file)
    else:
        _demand_address_first(cells, fields, file)
    key_field = None if options.use_external_identifier else used[0]
    return Header(tuple(cells), fields, key_field)


def _is_known(cell: str) -> bool:
    return cell.lower() in BY_HEADER or cell.lower() in REPORT_COLUMNS or _FREE_HEADER.fullmatch(cell) is not None


def _field(cell: str, position: int, file: str, *, is_header: bool) -> str | None:
    if cell.lower() in REPORT_COLUMNS:
        return None
    if not cell.strip():
        raise HeaderError(
            f"{file}: column {position} of the header is empty; expected a name like user.Email. {_WHAT_TO_DO}"
        )
    if (attribute := BY_HEADER.get(cell.lower())) is not None:
        return attribute.field
    if (found := _FREE_HEADER.fullmatch(cell)) is not None:
        prefix = MEMBER if found["kind"].lower() == "member" else CUSTOM
        return prefix + _custom_name(found["plain"] if found["quote"] is None else found["quoted"], cell, file)
    if cell.lower().startswith("sep=") and position == 1:
        raise HeaderError(
            f"{file}: the first line {cell!r} is an instruction for Excel and no header; remove that line, state the "
            "separator with --separator if need be, and import the file again.",
            column=cell,
        )
    shown = cell if _is_name(cell, is_header=is_header) else mask(cell)
    raise HeaderError(
        f"{file}: there is no attribute {shown!r} (column {position} of the header); expected a name like user.Email. "
        f"{_WHAT_TO_DO}",
        column=shown,
        nearest=_nearest(cell),
    )


def _is_name(cell: str, *, is_header: bool) -> bool:
    """Whether a cell names a column. Where a file lacks its header, it is personal data of the first row (R41).

    is_header: whether some cell of the line is the header of an attribute.
    """
    if "@" in cell or cell.lstrip("+").isdigit():
        return False
    return is_header or cell.lower().startswith(("user.", "member.")) or _with_prefix(cell) in BY_HEADER


def _with_prefix(cell: str) -> str:
    if cell.lower().startswith("user."):
        return cell.lower()
    return f"user.{cell.lower().replace('-', '').replace('_', '').replace(' ', '')}"


def _custom_name(name: str, cell: str, file: str) -> str:
    if not name.strip() or len(name) > LONGEST_CUSTOM_NAME:
        raise HeaderError(
            f"{file}: {cell!r} names no attribute; expected a name of 1 to {LONGEST_CUSTOM_NAME} characters, "
            f"as in {_CUSTOM_EXAMPLE}. {_WHAT_TO_DO}",
            column=cell,
        )
    return name


def _nearest(cell: str) -> str | None:
    known = {attribute.header.lower(): attribute.header for attribute in ATTRIBUTES}
    known[_CUSTOM_EXAMPLE.lower()] = _CUSTOM_EXAMPLE
    found = difflib.get_close_matches(_with_prefix(cell), known, n=1, cutoff=0.6)
    return known[found[0]] if found else None


def _refuse_repeated(cells: list[str], fields: tuple[str | None, ...], file: str) -> None:
    seen: dict[str, str] = {}
    for cell, field in zip(cells, fields, strict=True):
        if field is None:
            continue
        key = custom_key(field) if is_free(field) else field
        if key in seen:
            raise HeaderError(
                f"{file}: the columns {seen[key]!r} and {cell!r} fill the same attribute; leave one of them. {_WHAT_TO_DO}",
                column=cell,
            )
        seen[key] = cell


def _demand_identifier(used: list[str], file: str) -> None:
    if IDENTIFIER not in used:
        raise HeaderError(
            f"{file}: the column {BY_FIELD[IDENTIFIER].header} is missing, and rows are matched on it. "
            "Add it, or import without --use-external-identifier.",
            column=BY_FIELD[IDENTIFIER].header,
        )


def _demand_address_first(cells: list[str], fields: tuple[str | None, ...], file: str) -> None:
    first = next((cell for cell, field in zip(cells, fields, strict=True) if field is not None), None)
    field = next((field for field in fields if field is not None), None)
    if field not in {address.field for address in ADDRESSES}:
        allowed = ", ".join(address.header for address in ADDRESSES)
        raise HeaderError(
            f"{file}: rows are matched on the address in the first column, and that is {first!r}; expected one of {allowed}. "
            "Move an address to the front, or import with --use-external-identifier.",
            column=first,
        )
