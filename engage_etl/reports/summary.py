"""The object that says how an import went: ``summary.json`` and ``import --json`` (R39)."""

from __future__ import annotations

from typing import Any

from engage_etl.store.imports import Import


def import_summary(entry: Import) -> dict[str, Any]:
    """The summary of an import, ready for JSON; messages in it are masked already (R41).

    ``reasons`` sum up to skipped and rejected rows; ``error`` is None, or an object with ``code`` and ``message``.
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
    }


def _error(entry: Import) -> dict[str, str | None] | None:
    if entry.error_code is None:
        return None
    return {"code": entry.error_code, "message": entry.error_message}
