"""From the records of a file to its stage files: every row is checked, none is lost (R18, R38)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from engage_etl.validated_rows.checking import Checked, ChunkCheck, Unchecked, custom_attribute
from engage_etl.validated_rows.checking_processes import checked_beside, checked_by_all
from engage_etl.validated_rows.physical_lines import LineRange
from engage_etl.validated_rows.ranges import ReadableFile
from engage_etl.validated_rows.records import RecordReader
from engage_etl.validated_rows.stage_files import (
    REJECTED_SCHEMA,
    VALID_SCHEMA,
    StageSummary,
    rejected_file,
    summary_file,
    valid_file,
)
from engage_etl.validated_rows.stage_writer import StageWriter
from engage_etl.vocabulary.attributes import CUSTOM, MEMBER, custom_key, free_name
from engage_etl.vocabulary.custom_attribute import CustomAttribute
from engage_etl.vocabulary.options import ImportOptions


@dataclass
class Found:
    """What a validation has found so far: counts by reason, columns that valid rows fill, dropped values by column."""

    valid: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    filled: set[str] = field(default_factory=set)
    dropped: Counter[str] = field(default_factory=Counter)

    def add(self, checked: Checked) -> None:
        """Add what became of a chunk."""
        self.valid += checked.valid.num_rows
        self.reasons += checked.reasons
        self.filled |= checked.filled
        self.dropped += checked.dropped

    def merge(self, other: Found) -> None:
        """Add what was found in the range that follows."""
        self.valid += other.valid
        self.reasons += other.reasons
        self.filled |= other.filled
        self.dropped += other.dropped

    @property
    def rows(self) -> int:
        """How many records that are."""
        return self.valid + self.reasons.total()


@dataclass(frozen=True)
class Validation:
    """What a file is checked with. file: name for messages; known: custom attributes of the store, by custom_key(name).

    chunk_rows: how many records are in memory at a time; processes: how many check, which pays for large files; 0: this
    one, in one piece.
    """

    file: str
    options: ImportOptions
    known: Mapping[str, CustomAttribute]
    chunk_rows: int
    processes: int = 0

    def check(self) -> ChunkCheck:
        """A check of the file's chunks."""
        return ChunkCheck(self.file, self.options, self.known)


def validate(
    source: ReadableFile | RecordReader,
    given: Validation,
    folder: Path,
    on_progress: Callable[[int], None] | None = None,
) -> StageSummary:
    """Check every record of a file and write ``valid.parquet``, ``rejected.parquet`` and ``stage.json``.

    source: the file, or a reader of it; folder: of the import; on_progress: told how many records are done. What is
    written depends neither on the size of chunks nor on where they are checked.

    Raises:
        FileError: the file as a whole cannot be read; no stage file is left then.
    """
    remove_stage_files(folder)
    reader = source.reader() if isinstance(source, ReadableFile) else source
    with closing(_checked_chunks(source, reader, given)) as checked:
        found = write_rows(checked, unfinished(valid_file(folder)), unfinished(rejected_file(folder)), on_progress)
    return finish(reader, given, found, folder)


def remove_stage_files(folder: Path) -> None:
    """Make the folder of the import, without the stage files of an earlier validation."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    remove_unfinished(folder)
    for stage_file in (summary_file(folder), valid_file(folder), rejected_file(folder)):
        stage_file.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what validations of the import with this folder have not put in place."""
    for left in folder.glob("*.part"):
        left.unlink(missing_ok=True)


def write_rows(
    checked: Iterable[Checked], valid: Path, rejected: Path, on_progress: Callable[[int], None] | None = None
) -> Found:
    """Write what became of chunks into two Parquet files."""
    found = Found()
    with StageWriter(valid, VALID_SCHEMA) as valid_rows, StageWriter(rejected, REJECTED_SCHEMA) as rejected_rows:
        for chunk in checked:
            valid_rows.write(chunk.valid)
            rejected_rows.write(chunk.rejected)
            found.add(chunk)
            if on_progress is not None:
                on_progress(found.rows)
    return found


def _checked_chunks(
    source: ReadableFile | RecordReader, reader: RecordReader, given: Validation
) -> Generator[Checked, None, None]:
    if not given.processes:
        yield from map(given.check(), unchecked_chunks(reader, given.chunk_rows))
    elif isinstance(source, ReadableFile) and source.is_divisible:
        # What is wrong with the header is an error of this process.
        _ = reader.columns
        check = RangeCheck(source, given)
        yield from checked_by_all(check, source.ranges(1, given.chunk_rows), given.processes)
    else:
        yield from checked_beside(OneChunk(given.check()), unchecked_chunks(reader, given.chunk_rows))


@dataclass(frozen=True)
class OneChunk:
    """Checks chunks that are read elsewhere."""

    check: ChunkCheck

    def __call__(self, question: Unchecked) -> list[Checked]:
        """What became of a chunk; raises FileError as ``ChunkCheck``."""
        return [self.check(question)]


@dataclass(frozen=True)
class RangeCheck:
    """Reads ranges of a file and checks them."""

    source: ReadableFile
    given: Validation

    def __call__(self, part: LineRange) -> Iterator[Checked]:
        """What became of the chunks of a range.

        Raises:
            FileError: a quote is never closed, or the file ends within a character.
        """
        return map(self._check, unchecked_chunks(self.source.reader(part), self.given.chunk_rows))

    @cached_property
    def _check(self) -> ChunkCheck:
        return self.given.check()


def unchecked_chunks(reader: RecordReader, chunk_rows: int) -> Iterator[Unchecked]:
    """The chunks of a reader, each with what the reader knows by then."""
    return (Unchecked(chunk, dict(reader.columns), dict(reader.definitions)) for chunk in reader.chunks(chunk_rows))


def load_summary(folder: Path) -> StageSummary | None:
    """What the validation of the import with this folder found, or None where it is not complete."""
    file = summary_file(folder)
    return StageSummary.model_validate_json(file.read_text()) if file.exists() else None


def _new_attributes(reader: RecordReader, given: Validation, found: Found) -> tuple[CustomAttribute, ...]:
    """Custom attributes to create: those that the file declares with a type, and those that a valid row fills."""
    declared = [definition.name for definition in reader.definitions.values() if definition.type is not None]
    wanted = dict.fromkeys([*declared, *(free_name(name) for name in sorted(found.filled) if name.startswith(CUSTOM))])
    attributes = {
        custom_key(name): custom_attribute(name, file=given.file, definitions=reader.definitions, known=given.known)
        for name in wanted
    }
    return tuple(attribute for key, attribute in attributes.items() if key not in given.known)


def _drop_warnings(reader: RecordReader, given: Validation, found: Found) -> list[str]:
    """For each column of which values were dropped, how many (R18)."""
    names = {column: name for name, column in reader.columns.items()}
    return [
        f"{given.file}: {count:,} {'value' if count == 1 else 'values'} of {names.get(column, column)} did not fit and "
        f"{'was' if count == 1 else 'were'} dropped; the messages of the rows say which."
        for column, count in sorted(found.dropped.items())
    ]


def finish(reader: RecordReader, given: Validation, found: Found, folder: Path) -> StageSummary:
    """Put the stage files in place, which are complete now, and write the summary."""
    for part in (valid_file(folder), rejected_file(folder)):
        unfinished(part).replace(part)
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
    write_aside(summary_file(folder), summary.model_dump_json(indent=2))
    return summary


def write_aside(file: Path, text: str) -> None:
    """Write a text file, readable by its owner only, that is there as a whole or not at all."""
    aside = unfinished(file)
    aside.touch(mode=0o600)
    aside.write_text(text)
    aside.replace(file)


def unfinished(file: Path) -> Path:
    """Where a file is written before it is put in place."""
    return file.with_name(file.name + ".part")


def _digest(*files: Path) -> str:
    whole = hashlib.sha256()
    for file in files:
        with file.open("rb") as reading:
            whole.update(hashlib.file_digest(reading, "sha256").digest())
    return whole.hexdigest()
