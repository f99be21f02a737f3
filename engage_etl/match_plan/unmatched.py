"""Whether unusually many, or few, rows of a file had nobody to update, measured by the imports before it.

What is usual is the median of the shares of up to 20 imports before, and how far they stray is their median absolute
deviation (MAD). Mean and standard deviation would not do: the first load of a store, in which every row is new, would
move them for twenty imports, and an exceptional import would make the next one look ordinary. Median and MAD do not
move until half of the imports are exceptional. A share is unusual if it is further from the median than each of

- three standard deviations as the MAD estimates them (1.4826 times the MAD),
- three times what chance alone makes of so few rows, so that one new contact in a file of three rows is nothing,
- five points: where imports hardly stray, the MAD is 0.

With fewer than five imports before, nothing is called unusual.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median

from sqlalchemy import Connection

from engage_etl.store.imports import Import, past_imports
from engage_etl.vocabulary.outcomes import Reason

MOST_IMPORTS = 20
FEWEST_IMPORTS = 5
_DEVIATIONS = 3.0
_MAD_TO_DEVIATION = 1.4826
"""The standard deviation of a normal distribution, in MADs."""
_LEAST_ALLOWED = 0.05


@dataclass(frozen=True)
class UnmatchedShare:
    """How the share of unmatched rows compares with the imports before.

    rows: unmatched ones; of_rows: that were matched at all; share: 0 where there are none; usual: median of the imports
    before, None with fewer than ``FEWEST_IMPORTS``; allowed: how far from it is still usual; imports: how many were compared.
    """

    rows: int
    of_rows: int
    share: float
    usual: float | None
    allowed: float | None
    imports: int

    @property
    def is_unusual(self) -> bool:
        """Whether people should have a look."""
        if self.usual is None or self.allowed is None or not self.of_rows:
            return False
        return abs(self.share - self.usual) > self.allowed

    @property
    def finding(self) -> str:
        """What people read, as a clause."""
        found = f"{self.rows:,} of {self.of_rows:,} rows ({self.share:.1%}) had nobody to update"
        if self.usual is None:
            few = (
                f"there {'is' if self.imports == 1 else 'are'} only {self.imports}" if self.imports else "there is none"
            )
            return f"{found}; that is compared once there are {FEWEST_IMPORTS} imports before, and {few}"
        return (
            f"{found}; usual in the {self.imports} imports before is {self.usual:.1%}, give or take {self.allowed:.1%}"
        )


def unmatched_share(connection: Connection, entry: Import) -> UnmatchedShare:
    """Compare a planned import with those before it that were matched in the same way (R1, R3, R20).

    A correction of some rows is compared with nothing.
    """
    if entry.amends:
        return compared(entry, [])
    options = entry.import_options
    same = {"import_mode": options.import_mode, "use_external_identifier": options.use_external_identifier}
    return compared(entry, past_imports(connection, entry, MOST_IMPORTS, **same))


def compared(entry: Import, past: Sequence[Import]) -> UnmatchedShare:
    """Compare a planned import with some others."""
    shares = [_unmatched(one) / _matched_at_all(one) for one in past if _matched_at_all(one)]
    rows, of_rows = _unmatched(entry), _matched_at_all(entry)
    share = rows / of_rows if of_rows else 0.0
    if len(shares) < FEWEST_IMPORTS:
        return UnmatchedShare(rows, of_rows, share, None, None, len(shares))
    usual = median(shares)
    mad = median(abs(one - usual) for one in shares)
    allowed = max(_DEVIATIONS * _MAD_TO_DEVIATION * mad, _DEVIATIONS * _by_chance(usual, of_rows), _LEAST_ALLOWED)
    return UnmatchedShare(rows, of_rows, share, usual, allowed, len(shares))


def _by_chance(share: float, rows: int) -> float:
    """Standard deviation of the share of so many rows, if each is unmatched with the usual probability.

    One row more of each kind keeps it above zero where none, or each, was unmatched so far.
    """
    likely = (share * rows + 1) / (rows + 2)
    return sqrt(likely * (1 - likely) / max(rows, 1))


def _unmatched(entry: Import) -> int:
    """Rows with nobody to update: new contacts, rows too bare for one, and new ones that the mode does not take."""
    rows = entry.created + entry.reasons.get(Reason.NO_STANDARD_IDENTIFIER, 0)
    if entry.import_options.mode_rules.creates:
        return rows
    return rows + entry.reasons.get(Reason.NOT_IN_MODE, 0)


def _matched_at_all(entry: Import) -> int:
    """Rows that were looked up in the store and not rejected."""
    return entry.rows - entry.rejected - entry.reasons.get(Reason.SUPERSEDED, 0)
