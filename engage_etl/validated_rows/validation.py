"""From the records of a file to its stage files: every row is checked, none is lost (R18, R38)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from engage_etl.errors import FileError, FileErrorCode
from engage_etl.validated_rows.records import Chunk, CustomDefinition, RecordReader, place
from engage_etl.validated_rows.rejections import Rejection, drop_warning, reject
from engage_etl.validated_rows.schema import KEY, Failure, RowSchema
from engage_etl.validated_rows.stage_files import (
    REJECTED_SCHEMA,
    VALID_SCHEMA,
    StageSummary,
    rejected_file,
    summary_file,
    valid_file,
)
from engage_etl.validated_rows.valid_rows import Column, match_key, valid_table
from engage_etl.vocabulary.attributes import ADDRESSES, CUSTOM, IDENTIFIER, MEMBER, custom_key, free_name, is_free
from engage_etl.vocabulary.custom_attribute import CustomAttribute
from engage_etl.vocabulary.options import ImportOptions, InvalidValues
from engage_etl.vocabulary.outcomes import Reason

_COMPRESSION = "lz4"


@dataclass
class _Check:
    """One validation at work: what it is given, and what it has found so far."""

    reader: RecordReader
    file: str
    options: ImportOptions
    known: Mapping[str, CustomAttribute]
    attributes: dict[str, CustomAttribute] = field(default_factory=dict)
    schema: RowSchema | None = None
    valid: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    filled: set[str] = field(default_factory=set)
    dropped: Counter[str] = field(default_factory=Counter)


def validate(
    reader: RecordReader,
    *,
    file: str,
    options: ImportOptions,
    known_attributes: Mapping[str, CustomAttribute],
    folder: Path,
    chunk_rows: int,
    on_progress: Callable[[int], None] | None = None,
) -> StageSummary:
    """Check every record of a file and write ``valid.parquet``, ``rejected.parquet`` and ``stage.json``.

    file: name for messages; known_attributes: of the store, by custom_key(name); folder: of the import; chunk_rows: how
    many records are in memory at a time; on_progress: told how many are done. What is written does not depend on the
    size of chunks, but for the layout of the Parquet files.

    Raises:
        FileError: the file as a whole cannot be read; no stage file is left then.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check = _Check(reader, file, options, known_attributes)
    for stage_file in (summary_file(folder), valid_file(folder), rejected_file(folder)):
        stage_file.unlink(missing_ok=True)
    with ExitStack() as stack:
        valid = stack.enter_context(_writer(valid_file(folder), VALID_SCHEMA))
        rejected = stack.enter_context(_writer(rejected_file(folder), REJECTED_SCHEMA))
        for chunk in reader.chunks(chunk_rows):
            table, rejections = _check_chunk(check, chunk)
            valid.write_table(table)
            rejected.write_table(_rejected_table(rejections))
            if on_progress is not None:
                on_progress(check.valid + check.reasons.total())
    return _finish(check, folder)


def load_summary(folder: Path) -> StageSummary | None:
    """What the validation of the import with this folder found, or None where it is not complete."""
    file = summary_file(folder)
    return StageSummary.model_validate_json(file.read_text()) if file.exists() else None


def _check_chunk(check: _Check, chunk: Chunk) -> tuple[pa.Table, list[Rejection]]:
    if check.options.mode_rules.is_leaving:
        _leave_keys(chunk)
    schema = _schema_for(check, chunk)
    key_fields = _key_fields(check, chunk)
    # As they are: rules look at each distinct value, and would only have to take it out of Arrow again.
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in _judged(check, chunk).items()})
    failures = schema.failures(frame) if chunk.rows else {}
    names = {column: name for name, column in check.reader.columns.items()}
    rejections = [
        Rejection(bad.row, Reason.ROW_MALFORMED, f"{check.file}, {place(bad.row, bad.line)}: {bad.message}", ())
        for bad in chunk.malformed
    ]
    warnings: Column = [None] * len(chunk.rows)
    rejected: set[int] = set()
    for position, found in failures.items():
        row, values = chunk.rows[position], {column: cells[position] for column, cells in chunk.columns.items()}
        if _may_drop(check, found):
            warnings[position] = drop_warning(f"{check.file}, {chunk.place(position)}", found, values, names)
            _drop(check, chunk, position, found)
        else:
            rejected.add(position)
            key = _readable_key(key_fields[position], found, values)
            where = f"{check.file}, {chunk.place(position)}"
            rejections.append(Rejection(row, *reject(where, found, values, names), key))
    rejections.sort(key=lambda rejection: rejection.row)
    check.reasons.update(rejection.reason.value for rejection in rejections)
    return _valid_part(check, chunk, rejected, warnings), rejections


def _leave_keys(chunk: Chunk) -> None:
    """A row of a removal is its key and nothing else; addresses stay, as some may be what it is matched on (R20)."""
    keys = {IDENTIFIER, *(address.field for address in ADDRESSES)}
    chunk.columns = {name: values for name, values in chunk.columns.items() if name in keys}


def _may_drop(check: _Check, failures: list[Failure]) -> bool:
    """Whether the bad values of a row may be dropped: never an address or the identifier (R18)."""
    is_value = all(failure.rule.reason is Reason.VALUE_INVALID for failure in failures)
    return check.options.invalid_values is InvalidValues.DROP and is_value


def _drop(check: _Check, chunk: Chunk, position: int, failures: list[Failure]) -> None:
    """Take bad values out of a row, as if the file lacked them there: a blank cell could clear what is stored."""
    for column in {failure.column for failure in failures}:
        chunk.columns[column][position] = None
        check.dropped[column] += 1


def _key_fields(check: _Check, chunk: Chunk) -> list[str | None]:
    """The field that each row is matched on (R1, R3)."""
    return [IDENTIFIER] * len(chunk.rows) if check.options.use_external_identifier else chunk.key_fields


def _readable_key(
    key_field: str | None, failures: list[Failure], values: Mapping[str, str | None]
) -> tuple[str, str] | None:
    """Kind and text of a rejected row's key, None where the key itself is at fault."""
    value = values.get(key_field) if key_field else None
    if key_field is None or not value or any(failure.column in (KEY, key_field) for failure in failures):
        return None
    return key_field, match_key(key_field, value)


def _valid_part(check: _Check, chunk: Chunk, rejected: set[int], warnings: Column) -> pa.Table:
    columns: dict[str, Column] = chunk.columns
    rows, key_fields = chunk.rows, chunk.key_fields
    if rejected:
        is_kept = [position not in rejected for position in range(len(chunk.rows))]
        columns = {name: list(compress(values, is_kept)) for name, values in columns.items()}
        rows, key_fields = list(compress(rows, is_kept)), list(compress(key_fields, is_kept))
        warnings = list(compress(warnings, is_kept))
    if check.options.use_external_identifier:
        key_fields = [None] * len(rows)
    check.valid += len(rows)
    check.filled.update(name for name, values in columns.items() if is_free(name) and any(values))
    return valid_table(rows, columns, key_fields, check.attributes, warnings)


def _judged(check: _Check, chunk: Chunk) -> dict[str, Column]:
    """What rules judge: the columns of a chunk and the value that each row is matched on; of a removal, keys only (R20)."""
    key_fields, columns = _key_fields(check, chunk), chunk.columns
    key = [columns[name][place] if name in columns else None for place, name in enumerate(key_fields)]
    if not check.options.mode_rules.is_leaving:
        return columns | {KEY: key}
    judged = {
        name: [value if name == key_fields[place] else None for place, value in enumerate(values)]
        for name, values in columns.items()
    }
    return judged | {KEY: key}


def _schema_for(check: _Check, chunk: Chunk) -> RowSchema:
    """The schema, made again when a chunk brings a custom attribute that none before had (XML)."""
    new = [name for name in chunk.columns if is_free(name) and name not in check.attributes]
    for name in new:
        check.attributes[name] = _attribute(check, name)
    if check.schema is None or new:
        check.schema = RowSchema(check.options, check.attributes)
    return check.schema


def _attribute(check: _Check, column: str) -> CustomAttribute:
    """The definition that the values of a column are checked by; member attributes are texts."""
    if column.startswith(MEMBER):
        return CustomAttribute(name=free_name(column))
    return _custom_attribute(check, free_name(column))


def _custom_attribute(check: _Check, name: str) -> CustomAttribute:
    """The definition that the values of a custom attribute are checked by: the store's, else the file's (R17).

    Raises:
        FileError: the file says another type than the store has.
    """
    said = check.reader.definitions.get(custom_key(name), CustomDefinition(name))
    known = check.known.get(custom_key(name))
    if known is None:
        attribute = CustomAttribute(name=said.name, allowed_values=said.allowed_values)
        return attribute if said.type is None else attribute.model_copy(update={"type": said.type})
    if said.type is not None and said.type is not known.type:
        raise FileError(
            FileErrorCode.XML_INVALID,
            f"{check.file}: the custom attribute {name!r} is a {said.type} in the file and a {known.type} in the store; "
            "correct its definition in the file and import it again.",
        )
    return known


def _new_attributes(check: _Check) -> tuple[CustomAttribute, ...]:
    """Custom attributes to create: those that the file declares with a type, and those that a valid row fills."""
    declared = [definition.name for definition in check.reader.definitions.values() if definition.type is not None]
    wanted = dict.fromkeys([*declared, *(free_name(name) for name in sorted(check.filled) if name.startswith(CUSTOM))])
    found = {custom_key(name): _custom_attribute(check, name) for name in wanted}
    return tuple(attribute for key, attribute in found.items() if key not in check.known)


def _drop_warnings(check: _Check) -> list[str]:
    """For each column of which values were dropped, how many (R18)."""
    names = {column: name for name, column in check.reader.columns.items()}
    return [
        f"{check.file}: {count:,} {'value' if count == 1 else 'values'} of {names.get(column, column)} did not fit and "
        f"{'was' if count == 1 else 'were'} dropped; the messages of the rows say which."
        for column, count in sorted(check.dropped.items())
    ]


def _finish(check: _Check, folder: Path) -> StageSummary:
    for part in (valid_file(folder), rejected_file(folder)):
        _part(part).replace(part)
    summary = StageSummary(
        rows=check.valid + check.reasons.total(),
        valid=check.valid,
        rejected=check.reasons.total(),
        reasons=dict(check.reasons),
        columns=check.reader.columns,
        new_attributes=_new_attributes(check),
        member_attributes=tuple(sorted(free_name(name) for name in check.filled if name.startswith(MEMBER))),
        warnings=(*check.reader.warnings, *_drop_warnings(check)),
        sha256=_digest(valid_file(folder), rejected_file(folder)),
    )
    aside = _part(summary_file(folder))
    aside.write_text(summary.model_dump_json(indent=2))
    aside.chmod(0o600)
    aside.replace(summary_file(folder))
    return summary


def _writer(file: Path, schema: pa.Schema) -> pq.ParquetWriter:
    aside = _part(file)
    aside.touch(mode=0o600)
    return pq.ParquetWriter(aside, schema, compression=_COMPRESSION)


def _part(file: Path) -> Path:
    return file.with_name(file.name + ".part")


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


def _digest(*files: Path) -> str:
    whole = hashlib.sha256()
    for file in files:
        with file.open("rb") as reading:
            whole.update(hashlib.file_digest(reading, "sha256").digest())
    return whole.hexdigest()
