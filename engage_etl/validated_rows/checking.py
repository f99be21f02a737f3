"""Check one chunk of records after the other: which rows are valid, and why others are not (R14-R18, R38)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import compress

import pandas as pd
import pyarrow as pa

from engage_etl.errors import FileError, FileErrorCode
from engage_etl.validated_rows.records import Chunk, CustomDefinition, place
from engage_etl.validated_rows.rejections import Rejection, drop_warning, reject
from engage_etl.validated_rows.schema import KEY, Failure, RowSchema
from engage_etl.validated_rows.stage_files import REJECTED_SCHEMA
from engage_etl.validated_rows.valid_rows import Column, match_key, valid_table
from engage_etl.vocabulary.attributes import ADDRESSES, IDENTIFIER, MEMBER, custom_key, free_name, is_free
from engage_etl.vocabulary.custom_attribute import CustomAttribute
from engage_etl.vocabulary.options import ImportOptions, InvalidValues
from engage_etl.vocabulary.outcomes import Reason


@dataclass(frozen=True)
class Unchecked:
    """A chunk as its reader gives it. columns, definitions: of the reader, as far as it has come."""

    chunk: Chunk
    columns: Mapping[str, str]
    definitions: Mapping[str, CustomDefinition]

    @property
    def names(self) -> dict[str, str]:
        """Column to header cell or element, for messages."""
        return {column: name for name, column in self.columns.items()}


@dataclass(frozen=True)
class Checked:
    """What became of a chunk.

    valid, rejected: rows for the stage files; reasons: rejected rows by reason; filled: custom and member columns that a
    valid row fills; dropped: values that were dropped, by column (R18).
    """

    valid: pa.Table
    rejected: pa.Table
    reasons: Counter[str]
    filled: frozenset[str]
    dropped: Counter[str] = field(default_factory=Counter)


def custom_attribute(
    name: str, *, file: str, definitions: Mapping[str, CustomDefinition], known: Mapping[str, CustomAttribute]
) -> CustomAttribute:
    """The definition that the values of a custom attribute are checked by: the store's, else the file's (R17).

    file: name for messages; definitions: of the file, known: of the store, both by custom_key(name).

    Raises:
        FileError: the file says another type than the store has.
    """
    said = definitions.get(custom_key(name), CustomDefinition(name))
    stored = known.get(custom_key(name))
    if stored is None:
        attribute = CustomAttribute(name=said.name, allowed_values=said.allowed_values)
        return attribute if said.type is None else attribute.model_copy(update={"type": said.type})
    if said.type is not None and said.type is not stored.type:
        raise FileError(
            FileErrorCode.XML_INVALID,
            f"{file}: the custom attribute {name!r} is a {said.type} in the file and a {stored.type} in the store; "
            "correct its definition in the file and import it again.",
        )
    return stored


class ChunkCheck:
    """Checks the chunks of one file.

    file: name for messages; known: custom attributes of the store, by custom_key(name).
    """

    def __init__(self, file: str, options: ImportOptions, known: Mapping[str, CustomAttribute]) -> None:
        self._file, self._options, self._known = file, options, known
        self._attributes: dict[str, CustomAttribute] = {}
        self._schema: RowSchema | None = None

    def __call__(self, given: Unchecked) -> Checked:
        """Check a chunk.

        Raises:
            FileError: the file says another type for a custom attribute than the store has (R17).
        """
        chunk = given.chunk
        if self._options.mode_rules.is_leaving:
            _leave_keys(chunk)
        schema = self._schema_for(given)
        key_fields = self._key_fields(chunk)
        # As they are: rules look at each distinct value, and would only have to take it out of Arrow again.
        frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in self._judged(chunk).items()})
        failures = schema.failures(frame) if chunk.rows else {}
        rejections = [
            Rejection(bad.row, Reason.ROW_MALFORMED, f"{self._file}, {place(bad.row, bad.line)}: {bad.message}", ())
            for bad in chunk.malformed
        ]
        warnings: Column = [None] * len(chunk.rows)
        dropped: Counter[str] = Counter()
        rejected: set[int] = set()
        for position, found in failures.items():
            values = {column: cells[position] for column, cells in chunk.columns.items()}
            where = f"{self._file}, {chunk.place(position)}"
            if self._may_drop(found):
                warnings[position] = drop_warning(where, found, values, given.names)
                dropped.update(_drop(chunk, position, found))
            else:
                rejected.add(position)
                key = _readable_key(key_fields[position], found, values)
                rejections.append(Rejection(chunk.rows[position], *reject(where, found, values, given.names), key))
        return self._checked(chunk, rejected, rejections, warnings, dropped)

    def _checked(
        self, chunk: Chunk, rejected: set[int], rejections: list[Rejection], warnings: Column, dropped: Counter[str]
    ) -> Checked:
        rejections.sort(key=lambda rejection: rejection.row)
        columns: dict[str, Column] = chunk.columns
        rows, key_fields = chunk.rows, chunk.key_fields
        if rejected:
            is_kept = [position not in rejected for position in range(len(rows))]
            columns = {name: list(compress(values, is_kept)) for name, values in columns.items()}
            rows, key_fields = list(compress(rows, is_kept)), list(compress(key_fields, is_kept))
            warnings = list(compress(warnings, is_kept))
        if self._options.use_external_identifier:
            key_fields = [None] * len(rows)
        return Checked(
            valid=valid_table(rows, columns, key_fields, self._attributes, warnings),
            rejected=_rejected_table(rejections),
            reasons=Counter(rejection.reason.value for rejection in rejections),
            filled=frozenset(name for name, values in columns.items() if is_free(name) and any(values)),
            dropped=dropped,
        )

    def _may_drop(self, failures: list[Failure]) -> bool:
        """Whether the bad values of a row may be dropped: never an address or the identifier (R18)."""
        is_value = all(failure.rule.reason is Reason.VALUE_INVALID for failure in failures)
        return self._options.invalid_values is InvalidValues.DROP and is_value

    def _key_fields(self, chunk: Chunk) -> list[str | None]:
        """The field that each row is matched on (R1, R3)."""
        return [IDENTIFIER] * len(chunk.rows) if self._options.use_external_identifier else chunk.key_fields

    def _judged(self, chunk: Chunk) -> dict[str, Column]:
        """What rules judge: the columns and the value that each row is matched on; of a removal, keys only (R20)."""
        key_fields, columns = self._key_fields(chunk), chunk.columns
        key = [columns[name][place] if name in columns else None for place, name in enumerate(key_fields)]
        if not self._options.mode_rules.is_leaving:
            return columns | {KEY: key}
        judged = {
            name: [value if name == key_fields[place] else None for place, value in enumerate(values)]
            for name, values in columns.items()
        }
        return judged | {KEY: key}

    def _schema_for(self, given: Unchecked) -> RowSchema:
        """The schema, made again when a chunk brings a custom attribute that none before had (XML)."""
        new = [name for name in given.chunk.columns if is_free(name) and name not in self._attributes]
        for name in new:
            self._attributes[name] = self._attribute(name, given)
        if self._schema is None or new:
            self._schema = RowSchema(self._options, self._attributes)
        return self._schema

    def _attribute(self, column: str, given: Unchecked) -> CustomAttribute:
        """The definition that the values of a column are checked by; member attributes are texts."""
        name = free_name(column)
        if column.startswith(MEMBER):
            return CustomAttribute(name=name)
        return custom_attribute(name, file=self._file, definitions=given.definitions, known=self._known)


def _leave_keys(chunk: Chunk) -> None:
    """A row of a removal is its key and nothing else; addresses stay, as some may be what it is matched on (R20)."""
    keys = {IDENTIFIER, *(address.field for address in ADDRESSES)}
    chunk.columns = {name: values for name, values in chunk.columns.items() if name in keys}


def _drop(chunk: Chunk, position: int, failures: list[Failure]) -> set[str]:
    """Take bad values out of a row, as if the file lacked them there: a blank cell could clear what is stored."""
    columns = {failure.column for failure in failures}
    for column in columns:
        chunk.columns[column][position] = None
    return columns


def _readable_key(
    key_field: str | None, failures: list[Failure], values: Mapping[str, str | None]
) -> tuple[str, str] | None:
    """Kind and text of a rejected row's key, None where the key itself is at fault."""
    value = values.get(key_field) if key_field else None
    if key_field is None or not value or any(failure.column in (KEY, key_field) for failure in failures):
        return None
    return key_field, match_key(key_field, value)


def _rejected_table(rejections: list[Rejection]) -> pa.Table:
    rows = [
        {
            "row": bad.row,
            "reason": bad.reason.value,
            "message": bad.message,
            "fields": list(bad.fields),
            "match_kind": bad.key and bad.key[0],
            "match_key": bad.key and bad.key[1],
        }
        for bad in rejections
    ]
    return pa.Table.from_pylist(rows, REJECTED_SCHEMA)
