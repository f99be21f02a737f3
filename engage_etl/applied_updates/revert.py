"""Undo as the other rooms see it: take back what an import did, all of it or nothing (R36, decision 0014)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, Select, func, insert, select
from sqlalchemy.exc import IntegrityError

from engage_etl.applied_updates.exclusive import exclusively
from engage_etl.applied_updates.revert_judging import Undoing, count_results, judge_changes
from engage_etl.applied_updates.revert_tables import Result, past_value
from engage_etl.applied_updates.revert_values import read_names
from engage_etl.applied_updates.revert_writing import record_details, write_restored
from engage_etl.errors import FileError, UsageError
from engage_etl.store.engine import Store
from engage_etl.store.groups import require_group
from engage_etl.store.imports import Import, find_import, new_import_id, update_import
from engage_etl.store.outages import sqlstate
from engage_etl.store.tables import import_register, revert_detail
from engage_etl.vocabulary.outcomes import Outcome, Status

REVERT = "revert"
"""First part of the id of an import that undoes another one."""

_FOREIGN_KEY = "23503"
_DETAILS_AT_A_TIME = 2_000
_DETAIL = ("row", "contact_id", "field", "result", "before", "given", "now", "message")


@dataclass(frozen=True)
class Reverted:
    """What a revert does, or would do.

    Each change of the import is counted once, as restored, kept (others have changed it since) or failed (it cannot be
    restored). A change is a field of a contact, a custom or member attribute, or a membership; a contact that the import
    created counts as one.
    """

    restored: int
    kept: int
    failed: int

    @classmethod
    def of(cls, entry: Import) -> Reverted:
        """What the register says about a revert."""
        return cls(entry.restored, entry.kept, entry.failed)


def revert_import(store: Store, import_id: str, by: str | None = None) -> Import:
    """Take back what an applied import did, in one transaction; returns the register's entry of the revert.

    Done twice it changes nothing the second time: the entry of the first revert comes back. The caller holds the lock of
    the import. by: who wants it, as told.

    Raises:
        UsageError: the import is not applied, another revert has brought its changes back, or tables of others refer to
            contacts that would be removed.
        StoreUnavailable: other writers held the contacts longer than the settings allow.
    """
    with store.engine.connect() as connection:
        entry = find_import(connection, import_id)
        if entry.status is Status.REVERTED:
            return find_revert(connection, entry)
        demand_revertible(connection, entry)
    revert_id = new_import_id(entry.file, REVERT)
    try:
        exclusively(store, partial(_revert, entry, revert_id, by), file=f"revert of {entry.file}")
    except IntegrityError as error:
        if sqlstate(error) != _FOREIGN_KEY:
            raise
        raise UsageError(
            f"Import {import_id} cannot be reverted, and nothing was changed: another table of the database refers to "
            f"contacts that would be removed ({_reason(error)}). Remove these rows, then revert again."
        ) from None
    with store.engine.connect() as connection:
        return find_revert(connection, find_import(connection, import_id))


@contextmanager
def previewed_revert(store: Store, import_id: str) -> Iterator[tuple[Reverted, Iterator[dict[str, Any]]]]:
    """What ``revert_import`` would do now, and its details; nothing is changed, and nobody is kept waiting.

    Raises:
        UsageError: as ``revert_import``.
    """
    with store.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        try:
            entry = find_import(connection, import_id)
            demand_revertible(connection, entry)
            judge_changes(connection, _undoing(connection, entry))
            columns = (past_value.c[name] for name in _DETAIL)
            left = select(*columns).where(past_value.c.result != Result.RESTORED.value)
            order = (past_value.c.row.nulls_last(), past_value.c.contact_id, past_value.c.field)
            yield Reverted(**count_results(connection)), _objects(connection, left.order_by(*order))
        finally:
            connection.rollback()


def find_revert(connection: Connection, entry: Import) -> Import:
    """The entry of the revert by which an import is reverted now."""
    columns = import_register.c
    query = (
        select(columns.import_id)
        .where(columns.reverts == entry.import_id, columns.status == Status.APPLIED)
        .order_by(columns.applied_at.desc())
        .limit(1)
    )
    return find_import(connection, connection.execute(query).scalar_one())


def revert_details(connection: Connection, revert_id: str) -> Iterator[dict[str, Any]]:
    """The changes that a revert did not take back, in row order; values are clear, messages have none."""
    columns = revert_detail.c
    query = select(*(columns[name] for name in _DETAIL)).where(columns.import_id == revert_id)
    return _objects(connection, query.order_by(columns.row.nulls_last(), columns.contact_id, columns.field))


def _objects(connection: Connection, query: Select[Any]) -> Iterator[dict[str, Any]]:
    for found in connection.execution_options(yield_per=_DETAILS_AT_A_TIME).execute(query):
        yield dict(found._mapping)


def demand_revertible(connection: Connection, entry: Import) -> None:
    """Refuse an import that is not applied, or whose changes another revert has brought back.

    Raises:
        UsageError: the sentence says what it is.
    """
    if entry.status is not Status.APPLIED:
        raise UsageError(
            f"Import {entry.import_id} is {entry.status.value}; only an import that is applied can be reverted. "
            "`engage-etl imports list` names those there are."
        )
    _undone_links(connection, entry)


def _undone_links(connection: Connection, entry: Import) -> list[tuple[str, Status]]:
    """The imports whose status changes with a revert, and to what.

    What a reverted revert had taken back is applied again, and so on down to the import with the file.

    Raises:
        UsageError: one of them has been reverted once more since, by another import.
    """
    links, status = [(entry.import_id, Status.REVERTED)], Status.APPLIED
    while entry.reverts is not None:
        undone = find_import(connection, entry.reverts)
        if undone.status is status:
            raise UsageError(
                f"Import {entry.import_id} undid {undone.import_id}, which is {status.value} by now through another "
                "revert; `engage-etl imports list` names it. Revert that one."
            )
        links.append((undone.import_id, status))
        entry, status = undone, Status.REVERTED if status is Status.APPLIED else Status.APPLIED
    return links


def _reason(error: IntegrityError) -> str:
    """What the server says; of contacts it names the ids."""
    return " ".join(str(error.orig).split())


def _undoing(connection: Connection, entry: Import) -> Undoing:
    try:
        group_id, _ = require_group(connection, entry.group_name, file=entry.file)
    except FileError:
        raise UsageError(
            f"The group {entry.group_name!r} of import {entry.import_id} is no longer there; create it, then revert."
        ) from None
    return Undoing(entry.import_id, entry.file, group_id, read_names(connection))


def _revert(entry: Import, revert_id: str, by: str | None, connection: Connection, is_overtaken: bool) -> None:
    current = find_import(connection, entry.import_id)
    if current.status is Status.REVERTED:
        return  # Somebody else was faster while this waited for its locks.
    demand_revertible(connection, current)
    undoing = _undoing(connection, current)
    judge_changes(connection, undoing)
    counts = Reverted(**count_results(connection))
    fields = write_restored(connection, undoing, revert_id)
    _register(connection, replace(current, import_id=revert_id, reverted_by=by), entry.import_id, counts, fields)
    record_details(connection, revert_id)
    for import_id, status in _undone_links(connection, current):
        update_import(connection, import_id, status=status)


def _register(
    connection: Connection, entry: Import, reverted_id: str, counts: Reverted, fields: dict[str, int]
) -> None:
    """Enter the revert like an import; it has no rows of its own."""
    moment = func.clock_timestamp()
    connection.execute(
        insert(import_register).values(
            import_id=entry.import_id,
            file=entry.file,
            source_path=entry.source_path,
            group_name=entry.group_name,
            options=entry.options,
            status=Status.APPLIED,
            reverts=reverted_id,
            reverted_by=entry.reverted_by,
            restored=counts.restored,
            kept=counts.kept,
            failed=counts.failed,
            changed_fields={Outcome.UPDATED.value: fields},
            applied_at=moment,
            ended_at=moment,
        )
    )
