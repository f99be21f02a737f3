"""Approvals of plans: who said when that which plan is to be applied (R34, R35)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, insert, select, update

from engage_etl.store.imports import Import
from engage_etl.store.tables import import_register, plan_approval
from engage_etl.vocabulary.outcomes import Status


@dataclass(frozen=True)
class Approval:
    """A recorded approval; the fields are the columns of ``plan_approval``.

    overrides: brakes that had stopped the plan; void_because: why it holds no more, or None.
    """

    approval_id: int
    import_id: str
    plan_hash: str
    approved_by: str
    approved_at: datetime
    overrides: list[str]
    void_because: str | None


_COLUMNS = [plan_approval.c[field.name] for field in fields(Approval)]
_HOLDS = and_(plan_approval.c.plan_hash == import_register.c.plan_hash, plan_approval.c.void_because.is_(None))


def approvals(connection: Connection, import_ids: Sequence[str]) -> dict[str, Approval]:
    """The approvals that hold, by import id: of the plan that the import has now, and not void."""
    query = _holding().where(plan_approval.c.import_id.in_(import_ids))
    return {row.import_id: Approval(**row._mapping) for row in connection.execute(query)} if import_ids else {}


def find_approval(connection: Connection, import_id: str) -> Approval | None:
    """The approval that holds for the plan of an import, or None."""
    return approvals(connection, [import_id]).get(import_id)


def approved_imports(connection: Connection) -> dict[str, Approval]:
    """The approvals that hold and whose plans are yet to be applied, by import id."""
    waiting = [status for status in Status if status.waits]
    query = _holding().where(import_register.c.status.in_(waiting))
    return {row.import_id: Approval(**row._mapping) for row in connection.execute(query)}


def _holding() -> Select[Any]:
    joined = select(*_COLUMNS).join_from(
        plan_approval, import_register, plan_approval.c.import_id == import_register.c.import_id
    )
    return joined.where(_HOLDS).order_by(plan_approval.c.approval_id)


def record_approval(connection: Connection, entry: Import, *, by: str, overrides: Sequence[str]) -> None:
    """Record that a person approves the plan that an import has; overrides: brakes that had stopped it."""
    connection.execute(
        insert(plan_approval).values(
            import_id=entry.import_id, plan_hash=entry.plan_hash, approved_by=by, overrides=list(overrides)
        )
    )


def void_approvals(connection: Connection, import_id: str, because: str) -> None:
    """Let the approvals of an import hold no more; they stay on record."""
    connection.execute(
        update(plan_approval)
        .where(plan_approval.c.import_id == import_id, plan_approval.c.void_because.is_(None))
        .values(void_because=because)
    )
