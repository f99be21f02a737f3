"""What is no longer there of an import, since retention or an erasure removed it (R42).

A removal is entered before anything is taken away and marked as ended afterwards: what a killed process left is
taken up again, and nobody is ever shown half of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import BigInteger, Connection, cast, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from engage_etl.errors import Removed
from engage_etl.store.tables import removal


class Kind(StrEnum):
    """What of an import can be removed by itself, in the order in which it is shown."""

    RAW_FILE = "raw_file"
    STAGE_FILES = "stage_files"
    REPORT = "report"
    SETTLED_FILE = "settled_file"
    PLAN = "plan"
    RUNS = "runs"


_NAMES = {
    Kind.RAW_FILE: "raw file",
    Kind.STAGE_FILES: "checked rows",
    Kind.REPORT: "report",
    Kind.SETTLED_FILE: "dropped file",
    Kind.PLAN: "plan, row by row,",
    Kind.RUNS: "Dagster runs",
}
_PLURAL = (Kind.STAGE_FILES, Kind.RUNS)


@dataclass(frozen=True)
class Removal:
    """What was removed of one import. cause: a setting or an erasure; files, bytes, rows: how much that was."""

    import_id: str
    kind: Kind
    began_at: datetime
    cause: str
    files: int
    bytes: int
    rows: int

    def __str__(self) -> str:
        day = self.began_at.astimezone(UTC)
        verb = "were" if self.kind in _PLURAL else "was"
        return f"The {_NAMES[self.kind]} of import {self.import_id} {verb} removed on {day:%Y-%m-%d} by {self.cause}."

    def as_object(self) -> dict[str, str]:
        """As an object of the public interface."""
        return {"what": self.kind.value, "at": self.began_at.isoformat(), "by": self.cause}

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing to remove."""
        return not (self.files or self.rows)


def find_removals(connection: Connection, import_id: str) -> list[Removal]:
    """What was removed of an import, in the order of ``Kind``; what it never had is left out."""
    columns = [column for column in removal.columns if column.name != "ended_at"]
    query = select(*columns).where(removal.c.import_id == import_id)
    found = [Removal(**{**row, "kind": Kind(row["kind"])}) for row in connection.execute(query).mappings()]
    order = list(Kind)
    return sorted((one for one in found if not one.is_empty), key=lambda one: order.index(one.kind))


def demand_kept(connection: Connection, import_id: str, *kinds: Kind) -> None:
    """Refuse to go on without what was removed.

    Raises:
        Removed: one of these was removed of the import; the sentence says when and why.
    """
    gone = [one for one in find_removals(connection, import_id) if one.kind in kinds]
    if gone:
        raise Removed(" ".join(map(str, gone)))


def begin_removal(
    connection: Connection, import_id: str, kind: Kind, cause: str, *, files: int = 0, bytes: int = 0, rows: int = 0
) -> None:
    """Enter that something is about to be removed; what a killed process entered stays as it is."""
    values = {"import_id": import_id, "kind": kind, "cause": cause, "files": files, "bytes": bytes, "rows": rows}
    connection.execute(insert(removal).values(**values).on_conflict_do_nothing())


def end_removal(connection: Connection, import_id: str, kind: Kind) -> None:
    """Enter that it is gone."""
    connection.execute(
        update(removal)
        .where(removal.c.import_id == import_id, removal.c.kind == kind, removal.c.ended_at.is_(None))
        .values(ended_at=func.clock_timestamp())
    )


def end_removals_by(connection: Connection, cause: str) -> dict[Kind, int]:
    """Enter the end of all removals by this cause, also of those that a killed process left; returns files by kind."""
    theirs = removal.c.cause == cause
    connection.execute(
        update(removal).where(theirs, removal.c.ended_at.is_(None)).values(ended_at=func.clock_timestamp())
    )
    files = select(removal.c.kind, cast(func.sum(removal.c.files), BigInteger)).where(theirs).group_by(removal.c.kind)
    return {Kind(kind): number for kind, number in connection.execute(files).tuples()}


def take_back_removal(connection: Connection, import_id: str, kind: Kind) -> None:
    """It has been made again, and is there."""
    connection.execute(delete(removal).where(removal.c.import_id == import_id, removal.c.kind == kind))
