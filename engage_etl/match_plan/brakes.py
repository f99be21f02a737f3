"""Brakes: an import that would do too much stops after its plan (R34)."""

from __future__ import annotations

from engage_etl.errors import BrakeStopped
from engage_etl.vocabulary.options import Brake, ImportOptions

REJECTED_AT_LEAST = 10
"""Rejected rows below which the default brake lets every import pass (R34)."""


def check_brakes(options: ImportOptions, *, file: str, rows: int, rejected: int) -> None:
    """Judge the final outcomes over all rows, once, after the plan.

    Raises:
        BrakeStopped: more rows are rejected than ``max-rejected`` lets pass, or by default more than half and at
            least ten.
    """
    if options.max_rejected is None:
        is_exceeded = rejected >= REJECTED_AT_LEAST and rejected * 2 > rows
        limit = f"half of the rows, and at least {REJECTED_AT_LEAST} (the default of max-rejected)"
    else:
        brake = Brake.parse(options.max_rejected)
        is_exceeded, limit = brake.is_exceeded(rejected, rows), f"{brake} (max-rejected)"
    if is_exceeded:
        share = rejected / rows
        raise BrakeStopped(
            f"{file}: {rejected:,} of {rows:,} rows ({share:.1%}) are rejected, more than {limit}; nothing was applied. "
            "Look at rejected.csv in the report, correct the file and import it again, or allow more with max-rejected.",
            brake="max_rejected",
            share=share,
            rows=rejected,
        )
