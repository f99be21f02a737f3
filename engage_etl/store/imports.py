"""The register of imports: one row per import, from arrival to end."""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, delete, func, insert, select, tuple_, update
from sqlalchemy.exc import OperationalError

from engage_etl.errors import EngageError, FileError, ImportBusy, ImportUnknown, PlanRejected
from engage_etl.store.tables import import_file, import_register, plan_attribute, plan_leaver, plan_row
from engage_etl.vocabulary.file_format import FileFormat
from engage_etl.vocabulary.locations import Location, read_location
from engage_etl.vocabulary.options import FileType, ImportOptions
from engage_etl.vocabulary.outcomes import Outcome, Status

BY_HAND = "manual"
"""First part of the id of an import that no automation started."""

UNFINISHED = (Status.RECEIVED, Status.VALIDATED, Status.PLANNED)
"""Imports that a run is at work on, or is yet to be."""

_CODES: dict[type[EngageError], str] = {PlanRejected: "plan_rejected"}
"""Codes of what ends an import, beside file errors."""

CLAIMED = ".claimed"
"""Folder inside a drop folder where claimed files wait for their imports."""


@dataclass(frozen=True)
class Import:
    """An import as the register knows it; the fields are the columns of ``import_register``."""

    import_id: str
    automation: str | None
    file: str
    source_path: str
    claimed_path: str | None
    is_claimed: bool
    settled_path: str | None
    group_name: str
    options: dict[str, Any]
    status: Status
    error_code: str | None
    error_message: str | None
    rows: int
    created: int
    updated: int
    unchanged: int
    skipped: int
    rejected: int
    reasons: dict[str, int]
    warnings: list[str]
    drifted: int
    plan_hash: str | None
    first_plan_hash: str | None
    plan_snapshot: str | None
    stage_hash: str | None
    attempts: int
    report: str | None
    received_at: datetime
    modified_at: datetime | None
    validated_at: datetime | None
    planned_at: datetime | None
    applied_at: datetime | None
    ended_at: datetime | None
    entry: str | None
    left_group: int
    changed_fields: dict[str, dict[str, int]]
    started_by: str | None
    reverts: str | None
    reverted_by: str | None
    restored: int
    kept: int
    failed: int
    amends: str | None
    source_state: str | None

    @property
    def starter(self) -> str | None:
        """Who started the import: a person, or the automation by its name; None if that was not recorded (R35)."""
        return self.started_by or self.automation

    @property
    def is_dry_run(self) -> bool:
        """Whether the import only makes plan and report (R35)."""
        return bool(self.options.get("dry_run"))

    @property
    def has_ended(self) -> bool:
        """Whether the import has come to an end: a dry run has with its plan."""
        return self.status.has_ended or (self.status is Status.PLANNED and self.ended_at is not None)

    @property
    def is_unfinished(self) -> bool:
        """Whether a run is at work on the import, or is yet to be."""
        return self.status in UNFINISHED and not self.has_ended

    @property
    def is_reported(self) -> bool:
        """Whether there is something to report: the import has ended, or waits for a person who wants to see its plan."""
        return self.has_ended or self.status.waits

    @property
    def import_options(self) -> ImportOptions:
        """The options, checked."""
        return ImportOptions.model_validate(self.options)

    @property
    def arrived_path(self) -> Location:
        """Where the file waits to be read: claimed at its source, or where it was found."""
        return read_location(self.claimed_path or self.source_path)

    @property
    def arrived_name(self) -> str:
        """Name of the file as it arrived; of an archive, where ``file`` names the entry too."""
        return read_location(self.source_path).name

    def outcome_counts(self) -> dict[str, int]:
        """Rows by outcome, all five."""
        return {outcome.value: getattr(self, outcome.value) for outcome in Outcome}

    def field_counts(self) -> dict[str, int]:
        """How many rows of the plan change each field."""
        counts: Counter[str] = Counter()
        for by_field in self.changed_fields.values():
            counts.update(by_field)
        return dict(counts)


@dataclass(frozen=True)
class ImportFile:
    """The archived bytes of an import and the format found; the fields are the columns of ``import_file``."""

    import_id: str
    sha256: str
    bytes: int
    arrived_at: datetime
    archived_path: str
    file_type: str
    separator: str | None
    character_set: str
    detection: dict[str, str]

    @property
    def format(self) -> FileFormat:
        """The format that the file is read with."""
        return FileFormat(
            file_type=FileType(self.file_type),
            separator=self.separator,
            character_set=self.character_set,
            detection=self.detection,
        )


_COLUMNS = [import_register.c[field.name] for field in fields(Import)]


def new_import_id(file: str, automation: str | None = None, at: datetime | None = None) -> str:
    """A readable id, safe in URLs and file names: ``nightly-crm.contacts.20261124T0200Z.3fa9c1``."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(file).stem).strip("-")[:40] or "file"
    moment = (at or datetime.now(UTC)).strftime("%Y%m%dT%H%MZ")
    return f"{automation or BY_HAND}.{stem}.{moment}.{secrets.token_hex(3)}"


def register_import(  # noqa: PLR0913 - one parameter per column
    connection: Connection,
    source: Location,
    options: ImportOptions,
    *,
    automation: str | None = None,
    claimed_path: Location | None = None,
    modified_at: datetime | None = None,
    import_id: str | None = None,
    entry: str | None = None,
    source_state: str | None = None,
) -> str:
    """Enter an import into the register; status ``received``.

    claimed_path: where the file is about to be moved; it counts as claimed after ``mark_claimed``; entry: the file inside
    the archive ``source`` that is imported; source_state: what a file elsewhere was, which is claimed once.

    Returns:
        The id of the import.
    """
    import_id = import_id or new_import_id(source.name, automation)
    connection.execute(
        insert(import_register).values(
            import_id=import_id,
            automation=automation,
            file=source.name if entry is None else f"{source.name}/{entry}",
            entry=entry,
            source_path=str(source),
            claimed_path=str(claimed_path) if claimed_path else None,
            is_claimed=claimed_path is None,
            group_name=options.group,
            options=options.model_dump(mode="json", exclude_none=True),
            status=Status.RECEIVED,
            modified_at=modified_at,
            source_state=source_state,
        )
    )
    return import_id


def find_import(connection: Connection, import_id: str) -> Import:
    """The import with this id.

    Raises:
        ImportUnknown: there is none.
    """
    found = connection.execute(select(*_COLUMNS).where(import_register.c.import_id == import_id)).one_or_none()
    if found is None:
        raise ImportUnknown(import_id)
    return _as_import(found)


def load_import(engine: Engine, import_id: str) -> Import:
    """The import with this id, for those who ask the store nothing else.

    Raises:
        ImportUnknown: there is none.
    """
    with engine.connect() as connection:
        return find_import(connection, import_id)


def list_imports(
    connection: Connection,
    *,
    statuses: tuple[Status, ...] | None = None,
    automation: str | None = None,
    is_claimed: bool | None = None,
    is_settled: bool | None = None,
    limit: int | None = None,
) -> list[Import]:
    """Imports, the latest arrival first, narrowed by status, automation, whether a dropped file is claimed and put away."""
    query = select(*_COLUMNS).order_by(import_register.c.received_at.desc(), import_register.c.import_id.desc())
    if statuses is not None:
        query = query.where(import_register.c.status.in_(statuses))
    if automation is not None:
        query = query.where(import_register.c.automation == automation)
    if is_claimed is not None:
        query = query.where(import_register.c.is_claimed == is_claimed)
    if is_settled is not None:
        query = query.where(import_register.c.settled_path.is_not(None) == is_settled)
    return [_as_import(row) for row in connection.execute(query.limit(limit))]


def imports_of_arrival(connection: Connection, entry: Import) -> list[Import]:
    """The imports that one dropped file brought, itself among them: several, if it is an archive."""
    if entry.claimed_path is None or entry.entry is None:
        return [entry]
    query = select(*_COLUMNS).where(import_register.c.claimed_path == entry.claimed_path)
    return [_as_import(row) for row in connection.execute(query.order_by(import_register.c.import_id))]


def past_imports(connection: Connection, entry: Import, most: int, **same_options: object) -> list[Import]:
    """What was applied before this import, the latest first: of its automation, or by hand into its group.

    Left out are reverts and what was reverted, dry runs, and corrections of some rows: they are no measure for a file.

    same_options: options that they share with this import.
    """
    columns = import_register.c
    is_alike = columns.automation == entry.automation
    if entry.automation is None:
        is_alike = columns.automation.is_(None) & (func.lower(columns.group_name) == func.lower(entry.group_name))
    query = (
        select(*_COLUMNS)
        .where(is_alike, columns.status == Status.APPLIED, columns.received_at < entry.received_at)
        .where(columns.reverts.is_(None), columns.amends.is_(None), columns.options.contains(same_options))
        .order_by(columns.received_at.desc())
        .limit(most)
    )
    return [_as_import(row) for row in connection.execute(query)]


def is_preceded(connection: Connection, entry: Import) -> bool:
    """Whether an import of the same automation arrived before this one and has not ended yet (R40)."""
    if entry.automation is None:
        return False
    columns = import_register.c
    moment, name = func.coalesce(columns.modified_at, columns.received_at), columns.file.collate("C")
    earlier = tuple_(moment, name) < tuple_(*arrival(entry))
    query = select(import_register).where(
        columns.automation == entry.automation,
        columns.is_claimed,
        columns.status.in_(UNFINISHED),
        columns.ended_at.is_(None),  # a dry run has ended with its plan
        earlier,
    )
    return bool(connection.scalar(select(query.exists())))


def arrival(entry: Import) -> tuple[datetime, str]:
    """What arrivals are ordered by: modification time, then name (R40)."""
    return entry.modified_at or entry.received_at, entry.file


def update_import(connection: Connection, import_id: str, **values: Any) -> None:
    """Write columns of the import's row in the register."""
    connection.execute(update(import_register).where(import_register.c.import_id == import_id).values(**values))


def mark_claimed(connection: Connection, import_id: str) -> None:
    """The dropped file has been moved to the claimed path."""
    update_import(connection, import_id, is_claimed=True)


def mark_failed(connection: Connection, import_id: str, error: EngageError) -> None:
    """The import ended without being applied; the code and the sentence are kept."""
    code = error.code.value if isinstance(error, FileError) else _CODES.get(type(error), "failed")
    update_import(
        connection, import_id, status=Status.FAILED, error_code=code, error_message=str(error), ended_at=func.now()
    )


def void_plan(connection: Connection, import_id: str) -> None:
    """Take back the plan of an import, as the stage before it is made again; counts and report go with it.

    Approvals stay: they hold for the plan with their hash, should it come out the same again (R35).
    """
    delete_plan(connection, import_id)
    zero = {name.value: 0 for name in Outcome}
    update_import(
        connection,
        import_id,
        **zero,
        reasons={},
        changed_fields={},
        drifted=0,
        left_group=0,
        plan_hash=None,
        first_plan_hash=None,
        plan_snapshot=None,
        planned_at=None,
        error_code=None,
        error_message=None,
        ended_at=None,
        report=None,
    )


def delete_plan(connection: Connection, import_id: str) -> None:
    """Take the plan of an import out of the plan tables."""
    for table in (plan_row, plan_attribute, plan_leaver):
        connection.execute(delete(table).where(table.c.import_id == import_id))


def record_file(connection: Connection, record: ImportFile) -> None:
    """Enter the archived bytes and the format of an import, in place of an earlier entry."""
    connection.execute(delete(import_file).where(import_file.c.import_id == record.import_id))
    connection.execute(insert(import_file).values(**record.__dict__))


def find_file(connection: Connection, import_id: str) -> ImportFile | None:
    """The archived bytes and the format of an import, or None before they are known."""
    found = connection.execute(select(import_file).where(import_file.c.import_id == import_id)).one_or_none()
    return ImportFile(**found._mapping) if found is not None else None


def lock_key(import_id: str) -> ColumnElement[int]:
    """The number of the advisory lock of an import."""
    return func.hashtextextended(f"import {import_id}", 0)


@contextmanager
def import_lock(engine: Engine, import_id: str, *, is_shared: bool = False) -> Iterator[None]:
    """Hold the lock of one import, so that none of its stages runs twice at once.

    The lock belongs to a connection: a killed process gives it up. is_shared: with others that share it.

    Raises:
        ImportBusy: another process holds it.
    """
    key = lock_key(import_id)
    lock, unlock = func.pg_try_advisory_lock(key), func.pg_advisory_unlock(key)
    if is_shared:
        lock, unlock = func.pg_try_advisory_lock_shared(key), func.pg_advisory_unlock_shared(key)
    with engine.connect() as connection:
        if not connection.scalar(select(lock)):
            raise ImportBusy(import_id)
        connection.commit()
        try:
            yield
        finally:
            # The server gives up the lock with the connection; what broke that is the error to tell.
            with suppress(OperationalError):
                connection.scalar(select(unlock))


def is_alive(connection: Connection, import_id: str) -> bool:
    """Whether some process holds the lock of this import, that is, works on it right now."""
    key = lock_key(import_id)
    if not connection.scalar(select(func.pg_try_advisory_lock(key))):
        return True
    connection.scalar(select(func.pg_advisory_unlock(key)))
    return False


def _as_import(row: Any) -> Import:
    values = dict(row._mapping)
    values["status"] = Status(values["status"])
    return Import(**values)
