"""What the ranges of a large file leave, each on its own, until they are joined to the stage files of the import.

All of it lies in the folder of the import under names that end in ``.part``, as all that is not finished, so that whoever
clears up finds it. ``ranges.json.part`` says how the file is divided and what it is checked with; ``valid.<n>.parquet.part``
and ``rejected.<n>.parquet.part`` are the rows of a range; ``found.<n>.json.part`` comes last, and says what was found.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from engage_etl.errors import FileError, FileErrorCode, UsageError
from engage_etl.validated_rows.physical_lines import LineRange
from engage_etl.validated_rows.ranges import ReadableFile
from engage_etl.validated_rows.stage_files import (
    REJECTED_SCHEMA,
    VALID_SCHEMA,
    StageSummary,
    rejected_file,
    valid_file,
)
from engage_etl.validated_rows.stage_writer import StageWriter
from engage_etl.validated_rows.validation import (
    Found,
    RangeCheck,
    Validation,
    finish,
    remove_stage_files,
    unfinished,
    write_aside,
    write_rows,
)
from engage_etl.vocabulary.custom_attribute import CustomAttribute

_BOTH = (valid_file, rejected_file)
_DIVIDED_ANEW = (
    "Range {} of the file is not checked, or another run has divided the file since; materialize validated_rows again."
)


class Division(BaseModel):
    """How a file is divided, and what all of its ranges are checked with.

    division: drawn anew each time; known: custom attributes of the store, by custom_key(name), at that time.
    """

    model_config = ConfigDict(frozen=True)

    division: str = Field(default_factory=lambda: uuid.uuid4().hex)
    chunk_rows: int
    known: dict[str, CustomAttribute]
    ranges: tuple[LineRange, ...]


class RangeFound(BaseModel):
    """What was found in a range. division: that it is a part of; error: code and sentence of what ends the import."""

    division: str
    valid: int = 0
    reasons: dict[str, int] = {}
    filled: tuple[str, ...] = ()
    dropped: dict[str, int] = {}
    error: tuple[FileErrorCode, str] | None = None

    def as_found(self) -> Found:
        """To be merged with what was found in others."""
        return Found(self.valid, Counter(self.reasons), set(self.filled), Counter(self.dropped))


def divide(source: ReadableFile, given: Validation, folder: Path, range_bytes: int) -> int:
    """Divide a file into ranges of about so many bytes and note them; returns how many.

    What an earlier validation left is removed.

    Raises:
        FileError: the file is empty, or its header is wrong.
    """
    remove_stage_files(folder)
    _ = source.reader().columns  # what is wrong with the header is told now
    ranges = tuple(source.ranges(range_bytes, given.chunk_rows))
    division = Division(chunk_rows=given.chunk_rows, known=dict(given.known), ranges=ranges)
    write_aside(_division_file(folder), division.model_dump_json())
    return len(ranges)


def check_part(source: ReadableFile, folder: Path, number: int) -> int:
    """Check a range, counted from 0, and write what was found; what ends the import is noted, and told by ``join_parts``.

    A range that was begun or checked before is checked anew. Returns the number of its records.

    Raises:
        UsageError: the file is not divided.
    """
    division = load_division(folder)
    if number >= len(division.ranges):
        raise UsageError(_DIVIDED_ANEW.format(number + 1))
    check = RangeCheck(source, _validation(source, division))
    found_file = _found_file(folder, number)
    found_file.unlink(missing_ok=True)
    # Another run of the same import may be at the same range: each writes files of its own, and they are equal.
    files = {_part(file(folder), number, uuid.uuid4().hex): _part(file(folder), number) for file in _BOTH}
    valid, rejected = files
    try:
        found = write_rows(check(division.ranges[number]), valid, rejected)
        for aside, file in files.items():
            aside.replace(file)
        noted = _noted(division, found)
    except FileError as error:
        # Told by the first range in which there is one, whichever is checked first.
        found, noted = Found(), RangeFound(division=division.division, error=(error.code, str(error)))
    finally:
        for aside in files:
            aside.unlink(missing_ok=True)
    write_aside(found_file, noted.model_dump_json())
    return found.rows


def _noted(division: Division, found: Found) -> RangeFound:
    return RangeFound(
        division=division.division,
        valid=found.valid,
        reasons=dict(found.reasons),
        filled=tuple(sorted(found.filled)),
        dropped=dict(found.dropped),
    )


def join_parts(source: ReadableFile, folder: Path, on_progress: Callable[[int], None] | None = None) -> StageSummary:
    """Join what the ranges left to the stage files that a validation in one piece writes; the parts stay.

    Raises:
        FileError: the first one of the file.
        UsageError: the file is not divided, or a range is not checked.
    """
    division = load_division(folder)
    whole = Found()
    valid, rejected = valid_file(folder), rejected_file(folder)
    with (
        StageWriter(unfinished(valid), VALID_SCHEMA) as valid_rows,
        StageWriter(unfinished(rejected), REJECTED_SCHEMA) as rejected_rows,
    ):
        for number in range(len(division.ranges)):
            noted = _load_found(folder, division, number)
            if noted.error is not None:
                raise FileError(*noted.error)
            for file, writer in ((valid, valid_rows), (rejected, rejected_rows)):
                for group in _row_groups(_part(file, number)):
                    writer.write(group)
            whole.merge(noted.as_found())
            if on_progress is not None:
                on_progress(whole.rows)
    return finish(source.reader(), _validation(source, division), whole, folder)


def load_division(folder: Path) -> Division:
    """How the file of an import is divided.

    Raises:
        UsageError: it is not, or not any more.
    """
    try:
        return Division.model_validate_json(_division_file(folder).read_text())
    except FileNotFoundError:
        raise UsageError(
            "The file is not divided into ranges, or not any more; materialize validated_rows again."
        ) from None


def _load_found(folder: Path, division: Division, number: int) -> RangeFound:
    file = _found_file(folder, number)
    noted = RangeFound.model_validate_json(file.read_text()) if file.exists() else None
    if noted is None or noted.division != division.division:
        raise UsageError(_DIVIDED_ANEW.format(number + 1))
    return noted


def _row_groups(file: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(file) as parquet:
        for group in range(parquet.num_row_groups):
            yield parquet.read_row_group(group)


def _validation(source: ReadableFile, division: Division) -> Validation:
    return Validation(source.name, source.options, division.known, division.chunk_rows)


def _division_file(folder: Path) -> Path:
    return folder / "ranges.json.part"


def _found_file(folder: Path, number: int) -> Path:
    return folder / f"found.{number}.json.part"


def _part(file: Path, number: int, aside: str = "") -> Path:
    return file.with_name(f"{file.stem}.{number}{file.suffix}{aside and '.'}{aside}.part")


__all__ = ["Division", "check_part", "divide", "join_parts", "load_division"]
