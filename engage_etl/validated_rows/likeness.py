"""Whether a file looks like the one before it: its columns, its type, and how long it is."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, ImportFile, find_file, past_imports
from engage_etl.validated_rows.stage import recorded_summary
from engage_etl.validated_rows.stage_files import StageSummary

_FACTOR = 2
_FEWEST_ROWS = 100
"""By how many rows files differ at least before that is worth a word: short ones double by chance."""


@dataclass(frozen=True)
class Likeness:
    """How a file compares with the one before it.

    previous: the import of that one, None: there is none; rows_before, bytes_before: of it; differences: clauses.
    """

    previous: Import | None = None
    rows_before: int = 0
    bytes_before: int = 0
    differences: tuple[str, ...] = ()

    @property
    def finding(self) -> str:
        """What people read, as a clause."""
        if self.previous is None:
            return "there is no file before it to compare it with"
        if not self.differences:
            return f"it looks like {self.previous.file}, the one before it"
        return f"compared with {self.previous.file}, the one before it, {'; '.join(self.differences)}"


def likeness(store: Store, entry: Import, summary: StageSummary) -> Likeness:
    """Compare a file that was read with the latest one that was applied, of its automation, or by hand into its group.

    Only one that was matched in the same way (R1, R3) is a measure. A correction of some rows is compared with nothing.
    """
    same = {"use_external_identifier": entry.import_options.use_external_identifier}
    with store.engine.connect() as connection:
        past = [] if entry.amends else past_imports(connection, entry, 1, **same)
        if not past:
            return Likeness()
        [previous] = past
        file, former = find_file(connection, entry.import_id), find_file(connection, previous.import_id)
    differences = [
        *_columns(store, previous, summary),
        *_format(file, former),
        *_length(summary.rows, previous.rows),
    ]
    return Likeness(previous, previous.rows, former.bytes if former else 0, tuple(differences))


def _columns(store: Store, previous: Import, summary: StageSummary) -> list[str]:
    """Which columns lack and which are new; retention may have taken away what they were before (R42)."""
    try:
        before = recorded_summary(store, previous.import_id)
    except ValidationError:
        return []  # written by another version of the program
    if before is None:
        return []
    lacking = [cell for cell, field in before.columns.items() if field not in summary.columns.values()]
    new = [cell for cell, field in summary.columns.items() if field not in before.columns.values()]
    return [
        *([f"it lacks {', '.join(lacking)}"] if lacking else []),
        *([f"{', '.join(new)} {'is' if len(new) == 1 else 'are'} new"] if new else []),
    ]


def _format(file: ImportFile | None, former: ImportFile | None) -> list[str]:
    """The character set is not compared: where it is detected, a file without umlauts has another one."""
    if file is None or former is None or file.file_type == former.file_type:
        return []
    return [f"it is {file.file_type} and that was {former.file_type}"]


def _length(rows: int, before: int) -> list[str]:
    if abs(rows - before) < _FEWEST_ROWS or max(rows, before) <= _FACTOR * min(rows, before):
        return []
    return [f"it has {rows:,} rows and that had {before:,}"]
