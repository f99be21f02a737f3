"""Corrected files: which import they amend, with which options, and how it stands with all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from engage_etl.errors import UsageError
from engage_etl.store.imports import Import, find_import
from engage_etl.store.tables import import_register, plan_row
from engage_etl.vocabulary.comparison import group_key
from engage_etl.vocabulary.counting import counted
from engage_etl.vocabulary.options import FileType
from engage_etl.vocabulary.outcomes import Outcome, Status

_WRITTEN = (Outcome.CREATED, Outcome.UPDATED, Outcome.UNCHANGED)
_OF_THE_FILE = ("file_type", "separator", "character_set")


@dataclass(frozen=True)
class Corrections:
    """An import and the corrections of it that are applied, added up in rows.

    import_id: the import that was corrected first; imports: ids of the corrections, oldest first; rows: of its file;
    still_rejected: rows that no correction has taken in yet; added: rows of corrections beyond those that were rejected.
    """

    import_id: str
    imports: tuple[str, ...]
    rows: int
    applied_at_first: int
    applied_after_correction: int
    skipped: int
    still_rejected: int
    added: int

    def sentence(self) -> str:
        """``10,000 rows: 9,990 applied at first, 9 after correction, 1 still rejected.``"""
        parts = [f"{self.applied_at_first:,} applied at first", f"{self.applied_after_correction:,} after correction"]
        parts += [f"{self.skipped:,} skipped"] if self.skipped else []
        parts += [f"{self.still_rejected:,} still rejected"]
        parts += [f"{self.added:,} more than were rejected"] if self.added else []
        return f"{counted(self.rows, 'row')}: {', '.join(parts)}."


def amended_options(connection: Connection, import_id: str, stated: dict[str, Any]) -> dict[str, Any]:
    """The options with which a corrected file is imported: those of the import that it amends, unless stated otherwise.

    The type of the file is detected, and of what was XML separator and encoding too, since the report of rows is CSV.

    Raises:
        ImportUnknown: there is no such import.
        UsageError: it is not applied, has no row to correct, or another group is stated.
    """
    entry = find_import(connection, import_id)
    _demand_amendable(entry)
    group = stated.get("group")
    if group is not None and group_key(group) != group_key(entry.group_name):
        raise UsageError(
            f"Import {import_id} is of the group {entry.group_name!r}, and --group says {group!r}; "
            "leave --group out, or import the file without --amends."
        )
    left_out = _OF_THE_FILE if entry.options.get("file_type") == FileType.XML else _OF_THE_FILE[:1]
    return {name: value for name, value in entry.options.items() if name not in left_out} | stated


def _demand_amendable(entry: Import) -> None:
    if entry.reverts is not None:
        raise UsageError(f"Import {entry.import_id} is a revert and has no rows; name the import whose rows these are.")
    if entry.status is not Status.APPLIED:
        raise UsageError(
            f"Import {entry.import_id} is {entry.status.value}, so that there is nothing to amend; "
            "import the file without --amends."
        )
    if not entry.rejected and not entry.skipped:
        raise UsageError(f"Import {entry.import_id} has no rejected or skipped row to correct; leave --amends out.")


def corrections(connection: Connection, entry: Import) -> Corrections | None:
    """How it stands with an import and all that amend it, or that it amends; None where there are no such imports."""
    first = entry
    while first.amends is not None:
        first = find_import(connection, first.amends)
    later = [find_import(connection, import_id) for import_id in _amending(connection, first.import_id)]
    applied = [one for one in later if one.status is Status.APPLIED]
    if not later or first.status is not Status.APPLIED:
        return None
    corrected = _corrected(connection, first, applied)
    taken_in = corrected + sum(one.skipped for one in applied)
    return Corrections(
        import_id=first.import_id,
        imports=tuple(one.import_id for one in applied),
        rows=first.rows,
        applied_at_first=_written(first),
        applied_after_correction=corrected,
        skipped=first.skipped + sum(one.skipped for one in applied),
        still_rejected=max(0, first.rejected - taken_in),
        added=max(0, taken_in - first.rejected),
    )


def _corrected(connection: Connection, first: Import, later: Sequence[Import]) -> int:
    """Rows that corrections have taken in: those of one contact count once, however often its row came again.

    Where plans were removed since (R42), rows are added up as they were counted.
    """
    columns, ids = plan_row.c, [entry.import_id for entry in later]
    planned: set[str] = set(connection.scalars(select(columns.import_id).where(columns.import_id.in_(ids)).distinct()))
    if any(entry.rows and entry.import_id not in planned for entry in later):
        return sum(map(_written, later))
    is_written = columns.outcome.in_([outcome.value for outcome in _WRITTEN])
    at_first = select(columns.contact_id).where(columns.import_id == first.import_id, is_written)
    written = select(columns.contact_id).where(columns.import_id.in_(ids), is_written)
    return connection.scalar(select(func.count()).select_from(written.except_(at_first).subquery())) or 0


def _written(entry: Import) -> int:
    """Rows that did what they should, or found it done."""
    return sum(entry.outcome_counts()[outcome.value] for outcome in _WRITTEN)


def _amending(connection: Connection, import_id: str) -> list[str]:
    """The imports that amend one, or one that amends it, and so on; oldest first."""
    columns = import_register.c
    found = select(columns.import_id, columns.received_at).where(columns.amends == import_id).cte(recursive=True)
    register = import_register.alias("later")
    more = select(register.c.import_id, register.c.received_at).join(found, register.c.amends == found.c.import_id)
    found = found.union(more)
    return list(connection.scalars(select(found.c.import_id).order_by(found.c.received_at, found.c.import_id)))
