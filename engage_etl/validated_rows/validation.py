"""From the records of a file to its stage files: every row is checked, none is lost (R18, R38)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from engage_etl.validated_rows.checking import Checked, ChunkCheck, Unchecked, custom_attribute
from engage_etl.validated_rows.records import RecordReader
from engage_etl.validated_rows.second_process import CheckingProcess
from engage_etl.validated_rows.stage_files import (
    REJECTED_SCHEMA,
    VALID_SCHEMA,
    StageSummary,
    rejected_file,
    summary_file,
    valid_file,
)
from engage_etl.vocabulary.attributes import CUSTOM, MEMBER, custom_key, free_name
from engage_etl.vocabulary.custom_attribute import CustomAttribute
from engage_etl.vocabulary.options import ImportOptions

_COMPRESSION = "lz4"


@dataclass
class _Found:
    """What a validation has found so far."""

    valid: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    filled: set[str] = field(default_factory=set)
    dropped: Counter[str] = field(default_factory=Counter)

    def add(self, checked: Checked) -> None:
        self.valid += checked.valid.num_rows
        self.reasons += checked.reasons
        self.filled |= checked.filled
        self.dropped += checked.dropped

    @property
    def rows(self) -> int:
        return self.valid + self.reasons.total()


@dataclass(frozen=True)
class Validation:
    """What a file is checked with. file: name for messages; known: custom attributes of the store, by custom_key(name).

    chunk_rows: how many records are in memory at a time; beside: check in a second process, which pays for large files.
    """

    file: str
    options: ImportOptions
    known: Mapping[str, CustomAttribute]
    chunk_rows: int
    beside: bool = False


def validate(
    reader: RecordReader, given: Validation, folder: Path, on_progress: Callable[[int], None] | None = None
) -> StageSummary:
    """Check every record of a file and write ``valid.parquet``, ``rejected.parquet`` and ``stage.json``.

    folder: of the import; on_progress: told how many records are done. What is written does not depend on the size of
    chunks, but for the layout of the Parquet files, nor on where they are checked.

    Raises:
        FileError: the file as a whole cannot be read; no stage file is left then.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = _Found()
    for stage_file in (summary_file(folder), valid_file(folder), rejected_file(folder)):
        stage_file.unlink(missing_ok=True)
    with ExitStack() as stack:
        valid = stack.enter_context(_writer(valid_file(folder), VALID_SCHEMA))
        rejected = stack.enter_context(_writer(rejected_file(folder), REJECTED_SCHEMA))
        for checked in stack.enter_context(_checked_chunks(reader, given)):
            valid.write_table(checked.valid)
            rejected.write_table(checked.rejected)
            found.add(checked)
            if on_progress is not None:
                on_progress(found.rows)
    return _finish(reader, given, found, folder)


@contextmanager
def _checked_chunks(reader: RecordReader, given: Validation) -> Iterator[Iterator[Checked]]:
    check = ChunkCheck(given.file, given.options, given.known)
    chunks = (
        Unchecked(chunk, dict(reader.columns), dict(reader.definitions)) for chunk in reader.chunks(given.chunk_rows)
    )
    if not given.beside:
        yield map(check, chunks)
        return
    with CheckingProcess(check) as process:
        yield process.checked(chunks)


def load_summary(folder: Path) -> StageSummary | None:
    """What the validation of the import with this folder found, or None where it is not complete."""
    file = summary_file(folder)
    return StageSummary.model_validate_json(file.read_text()) if file.exists() else None


def _new_attributes(reader: RecordReader, given: Validation, found: _Found) -> tuple[CustomAttribute, ...]:
    """Custom attributes to create: those that the file declares with a type, and those that a valid row fills."""
    declared = [definition.name for definition in reader.definitions.values() if definition.type is not None]
    wanted = dict.fromkeys([*declared, *(free_name(name) for name in sorted(found.filled) if name.startswith(CUSTOM))])
    attributes = {
        custom_key(name): custom_attribute(name, file=given.file, definitions=reader.definitions, known=given.known)
        for name in wanted
    }
    return tuple(attribute for key, attribute in attributes.items() if key not in given.known)


def _drop_warnings(reader: RecordReader, given: Validation, found: _Found) -> list[str]:
    """For each column of which values were dropped, how many (R18)."""
    names = {column: name for name, column in reader.columns.items()}
    return [
        f"{given.file}: {count:,} {'value' if count == 1 else 'values'} of {names.get(column, column)} did not fit and "
        f"{'was' if count == 1 else 'were'} dropped; the messages of the rows say which."
        for column, count in sorted(found.dropped.items())
    ]


def _finish(reader: RecordReader, given: Validation, found: _Found, folder: Path) -> StageSummary:
    for part in (valid_file(folder), rejected_file(folder)):
        _part(part).replace(part)
    summary = StageSummary(
        rows=found.rows,
        valid=found.valid,
        rejected=found.reasons.total(),
        reasons=dict(found.reasons),
        columns=reader.columns,
        new_attributes=_new_attributes(reader, given, found),
        member_attributes=tuple(sorted(free_name(name) for name in found.filled if name.startswith(MEMBER))),
        warnings=(*reader.warnings, *_drop_warnings(reader, given, found)),
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


def _digest(*files: Path) -> str:
    whole = hashlib.sha256()
    for file in files:
        with file.open("rb") as reading:
            whole.update(hashlib.file_digest(reading, "sha256").digest())
    return whole.hexdigest()
