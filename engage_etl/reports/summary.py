"""The object that says how an import went: ``summary.json`` and ``import --json`` (R39)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from engage_etl.reports.private_files import private_text_file
from engage_etl.store.approvals import Approval, approvals
from engage_etl.store.imports import Import


def import_summary(entry: Import, approval: Approval | None = None) -> dict[str, Any]:
    """The summary of an import, ready for JSON; messages in it are masked already (R41).

    approval: that holds for its plan. ``reasons`` sum up to skipped and rejected rows; ``error`` is None, or an object
    with ``code`` and ``message``: why the import failed, or why it waits for a person.
    """
    return {
        "import_id": entry.import_id,
        "file": entry.file,
        "group": entry.group_name,
        "status": entry.status.value,
        "error": _error(entry),
        "rows": entry.rows,
        **entry.outcome_counts(),
        "reasons": dict(entry.reasons),
        "left_group": entry.left_group,
        "drifted": entry.drifted,
        "plan_hash": entry.plan_hash,
        "report": entry.report,
        "warnings": list(entry.warnings),
        "dry_run": entry.is_dry_run,
        "started_by": entry.starter,
        "approval": _approval(approval),
        "amends": entry.amends,
        **_revert(entry),
    }


def import_summaries(connection: Connection, entries: Sequence[Import]) -> list[dict[str, Any]]:
    """The summaries of some imports, with the approvals of their plans."""
    found = approvals(connection, [entry.import_id for entry in entries])
    return [import_summary(entry, found.get(entry.import_id)) for entry in entries]


def _approval(approval: Approval | None) -> dict[str, Any] | None:
    if approval is None:
        return None
    return {
        "by": approval.approved_by,
        "at": approval.approved_at.isoformat(),
        "plan_hash": approval.plan_hash,
        "overrides": approval.overrides,
    }


def write_summary(path: Path, entry: Import, approval: Approval | None = None) -> None:
    """Write ``summary.json`` (R39). approval: of the plan."""
    with private_text_file(path) as file:
        json.dump(import_summary(entry, approval), file, ensure_ascii=False, indent=2)
        file.write("\n")


def _revert(entry: Import) -> dict[str, Any]:
    """What an import that undoes another one did (R36); of all others only that they do not."""
    if entry.reverts is None:
        return {"reverts": None}
    counts = {"restored": entry.restored, "kept": entry.kept, "failed": entry.failed}
    return {"reverts": entry.reverts, "reverted_by": entry.reverted_by, **counts}


def _error(entry: Import) -> dict[str, str | None] | None:
    if entry.error_code is None:
        return None
    return {"code": entry.error_code, "message": entry.error_message}
