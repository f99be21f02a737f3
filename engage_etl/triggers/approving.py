"""How the job ``apply_plan`` is told who approves which plan (R35), and the link that opens it with all but the name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import dagster as dg

if TYPE_CHECKING:
    from engage_etl.store.imports import Import

APPLY_PLAN = "apply_plan"
_CONFIGURED = "applied_updates"
"""The asset that the job configures."""
_PLAN_HASH = re.compile(r"[0-9a-f]+")
_PARTITION = "dagster/partition"


def approving(by: str, plan_hash: str) -> dict[str, Any]:
    """The run configuration of the job ``apply_plan``: who approves which plan."""
    return {"ops": {_CONFIGURED: {"config": {"by": by, "plan_hash": plan_hash}}}}


def approval_link(planned: Import) -> dict[str, Any]:
    """Metadata: where a person approves a plan; none of a plan that waits for nobody (R34, R35).

    It leads to a page of our web server: the address of the launchpad is too long to be read.
    """
    if not planned.status.waits or planned.is_dry_run or planned.plan_hash is None:
        return {}
    return {"approve": dg.MetadataValue.url(f"/approve/{planned.import_id}/{planned.plan_hash}")}


def launchpad_address(import_id: str, plan_hash: str) -> str | None:
    """The path of Dagster's launchpad with the job filled in, apart from the name; None for what is no hash of a plan.

    ``/guess/`` finds the job by its name, whatever its code location is called.
    """
    if not _PLAN_HASH.fullmatch(plan_hash):
        return None
    # As people edit it: a line for the name, the quotes waiting for it.
    config = f"ops:\n  {_CONFIGURED}:\n    config:\n      by: ''\n      plan_hash: '{plan_hash}'\n"
    given = {"config": config, "tags[0][key]": _PARTITION, "tags[0][value]": import_id}
    return f"/guess/{APPLY_PLAN}/playground/setup?{urlencode(given, quote_via=quote)}"
