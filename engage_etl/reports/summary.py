"""The object that says how an import went: ``summary.json`` and ``import --json`` (R39)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engage_etl.reports.private_files import private_text_file
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
        "amends": entry.amends,
        **_revert(entry),
    }


def write_summary(path: Path, entry: Import) -> None:
    """Write ``summary.json`` (R39)."""
    with private_text_file(path) as file:
        json.dump(import_summary(entry), file, ensure_ascii=False, indent=2)
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
