"""Brakes: an import that would do too much stops after its plan and waits for a person (R34).

They are judged once, after the plan, on the final outcomes over all rows. ``max-rejected`` counts rows that are rejected,
``max-changed`` rows that create or update: members who leave by the mode ``remove`` are such rows, those whom ``replace``
takes out are outside the rows and are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from engage_etl.store.imports import Import
from engage_etl.vocabulary.options import Brake, ImportOptions

REJECTED_AT_LEAST = 10
"""Rejected rows below which the default brake lets every import pass (R34)."""
MAX_REJECTED = "max_rejected"
MAX_CHANGED = "max_changed"


@dataclass(frozen=True)
class BrakeVerdict:
    """What a brake says about a plan.

    brake: its option; rows: counted against it; of_rows: all rows; limit: in words; finding: a clause that names file and
    figures.
    """

    brake: str
    is_exceeded: bool
    rows: int
    of_rows: int
    limit: str
    finding: str


def brake_verdicts(entry: Import) -> list[BrakeVerdict]:
    """Judge the counts of a plan, as the register has them, by both brakes."""
    options = entry.import_options
    return [
        _verdict(entry, MAX_REJECTED, entry.rejected, "are rejected", _rejected_limit(options, entry)),
        _verdict(entry, MAX_CHANGED, entry.created + entry.updated, "create or update", _changed_limit(options, entry)),
    ]


def stop_sentence(entry: Import, exceeded: list[BrakeVerdict]) -> str:
    """What people read about a plan that brakes have stopped."""
    findings = "; ".join(verdict.finding for verdict in exceeded)
    return (
        f"{entry.file}: {findings}. Nothing was applied. Look at the report, then correct the file, "
        f"`engage-etl imports reject {entry.import_id} --because TEXT` and import it again, or apply this plan all the same with "
        f"`engage-etl imports approve {entry.import_id}`."
    )


def rehearsal_sentence(entry: Import, exceeded: list[BrakeVerdict]) -> str:
    """The warning of a dry run whose import would be stopped."""
    findings = "; ".join(verdict.finding for verdict in exceeded)
    return f"{entry.file}: {findings}. Without dry-run the import would be stopped here."


def _rejected_limit(options: ImportOptions, entry: Import) -> tuple[bool, str]:
    if options.max_rejected is not None:
        return _given_limit(options.max_rejected, "max-rejected", entry.rejected, entry.rows)
    is_exceeded = entry.rejected >= REJECTED_AT_LEAST and entry.rejected * 2 > entry.rows
    return is_exceeded, f"half of the rows, and at least {REJECTED_AT_LEAST} (the default of max-rejected)"


def _changed_limit(options: ImportOptions, entry: Import) -> tuple[bool, str]:
    if options.max_changed is not None:
        return _given_limit(options.max_changed, "max-changed", entry.created + entry.updated, entry.rows)
    return False, "all of them (max-changed is not set)"


def _given_limit(text: str, option: str, rows: int, of_rows: int) -> tuple[bool, str]:
    """Whether the limit is exceeded, and the limit in words."""
    brake = Brake.parse(text)
    return brake.is_exceeded(rows, of_rows), f"{brake} ({option})"


def _verdict(entry: Import, brake: str, rows: int, what: str, judged: tuple[bool, str]) -> BrakeVerdict:
    is_exceeded, limit = judged
    share = f" ({rows / entry.rows:.1%})" if entry.rows else ""
    finding = f"{rows:,} of {entry.rows:,} rows{share} {what}, {'more' if is_exceeded else 'no more'} than {limit}"
    return BrakeVerdict(brake, is_exceeded, rows, entry.rows, limit, finding)
