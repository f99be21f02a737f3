"""The two workloads of the benchmark: which rows a file has, as columns of Arrow, and what must become of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.profiles import CHANGEABLE, Profiles
from engage_etl.vocabulary.outcomes import Outcome

STORE_DOMAIN = "example.com"
"""Domain of the e-mail addresses that the store is filled with."""

_CYCLE = 200
"""Rows after which the shares of the kinds repeat, so that they are exact for each multiple of it."""

_STRIDE = 37
"""Without a common factor with the cycle: mixes the kinds within it."""

_BATCH = 500 * _CYCLE
_UNKNOWN_FROM = 500_000_000
"""Numbers from here on belong to nobody, in the store or in a file."""

Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Kind(StrEnum):
    """What a row is, and so what must become of it."""

    UNCHANGED = "unchanged"
    PROFILE = "one profile field changes"
    EMAIL = "the e-mail address changes"
    MOBILE = "the mobile number changes"
    NEW = "new, with address"
    UNKNOWN = "matches nobody, without address"
    BAD_EMAIL = "the e-mail address is none"
    DUPLICATE = "the same as a later row"


_OUTCOMES = {
    Kind.UNCHANGED: Outcome.UNCHANGED,
    Kind.PROFILE: Outcome.UPDATED,
    Kind.EMAIL: Outcome.UPDATED,
    Kind.MOBILE: Outcome.UPDATED,
    Kind.NEW: Outcome.CREATED,
    Kind.UNKNOWN: Outcome.SKIPPED,
    Kind.BAD_EMAIL: Outcome.REJECTED,
    Kind.DUPLICATE: Outcome.SKIPPED,
}

_SHARES: dict[str, dict[Kind, int]] = {
    # Of the 90 % that match, 2 % of all rows have a bad address and 0.5 % come twice. The duplicate comes first.
    "A": {Kind.DUPLICATE: 1, Kind.BAD_EMAIL: 4, Kind.NEW: 10, Kind.UNKNOWN: 10, Kind.EMAIL: 175},
    "B": {Kind.UNCHANGED: 140, Kind.PROFILE: 54, Kind.EMAIL: 1, Kind.MOBILE: 1, Kind.NEW: 4},
}
"""Rows of each kind in a cycle: A, the full rewrite, and B, the nightly file."""

TITLES = {"A": "full rewrite", "B": "nightly"}


@dataclass(frozen=True)
class Workload:
    """A file. name: A or B; rows: a multiple of 200; round: another file of the same kind, for the same store."""

    name: str
    rows: int
    round: int = 1

    def __post_init__(self) -> None:
        if self.rows <= 0 or self.rows % _CYCLE:
            raise ValueError(f"A workload has a multiple of {_CYCLE} rows, not {self.rows}.")

    @property
    def contacts(self) -> int:
        """Contacts of the store that the file is for."""
        return 2 * self.rows

    def rows_of(self, kind: Kind) -> int:
        """Rows of a kind."""
        return _SHARES[self.name].get(kind, 0) * self.rows // _CYCLE

    def expected(self) -> dict[str, int]:
        """Rows by outcome, all five."""
        counts = {outcome.value: 0 for outcome in Outcome}
        for kind in Kind:
            counts[_OUTCOMES[kind].value] += self.rows_of(kind)
        return counts

    def batches(self, *, is_distinct: bool = False) -> Iterator[pa.Table]:
        """The rows of the file in the columns of ``profiles.FIELDS``, 100,000 at a time; no value is null.

        is_distinct: without the rows that come again later.
        """
        known = np.random.default_rng(self.round).permutation(self.contacts)[: self.rows] + 1
        for start in range(0, self.rows, _BATCH):
            places = np.arange(start, min(start + _BATCH, self.rows), dtype=np.int64)
            if is_distinct:
                places = places[~self._kinds(places).get(Kind.DUPLICATE, np.zeros(len(places), bool))]
            yield self._batch(places, known)

    def _batch(self, places: Numbers, known: Numbers) -> pa.Table:
        kinds = {kind: mask for kind, mask in self._kinds(places).items() if mask.any()}
        profiles = Profiles.of(self._numbers(places, known, kinds))
        if Kind.PROFILE in kinds:
            # Which field it is goes round, independent of the place in the cycle.
            turn = (places // _CYCLE + places) % len(CHANGEABLE)
            for position, field in enumerate(CHANGEABLE):
                profiles.change(field, kinds[Kind.PROFILE] & (turn == position))
        if Kind.MOBILE in kinds:
            profiles.change("mobile_number", kinds[Kind.MOBILE])
        return self._with_addresses(profiles, kinds)

    def _kinds(self, places: Numbers) -> dict[Kind, Mask]:
        turn = places * _STRIDE % _CYCLE
        kinds, first = {}, 0
        for kind, share in _SHARES[self.name].items():
            kinds[kind] = (turn >= first) & (turn < first + share)
            first += share
        return kinds

    def _numbers(self, places: Numbers, known: Numbers, kinds: dict[Kind, Mask]) -> Numbers:
        """Which contact each row is about."""
        numbers = known[places]
        if Kind.DUPLICATE in kinds:
            # Half a cycle on is a row that changes its address, whatever the stride.
            later = places[kinds[Kind.DUPLICATE]] + _CYCLE // 2
            numbers[kinds[Kind.DUPLICATE]] = known[later]
        if Kind.NEW in kinds:
            numbers[kinds[Kind.NEW]] = self.contacts + (self.round - 1) * self.rows + 1 + places[kinds[Kind.NEW]]
        if Kind.UNKNOWN in kinds:
            numbers[kinds[Kind.UNKNOWN]] = _UNKNOWN_FROM + places[kinds[Kind.UNKNOWN]]
        return numbers

    def _with_addresses(self, profiles: Profiles, kinds: dict[Kind, Mask]) -> pa.Table:
        nowhere = np.zeros(len(profiles.numbers), bool)
        columns = profiles.columns(STORE_DOMAIN)
        moved = profiles.emails(f"mail{self.round}.example.org")
        changed = kinds.get(Kind.EMAIL, nowhere) | kinds.get(Kind.DUPLICATE, nowhere)
        email = pc.if_else(pa.array(changed), moved, columns["email"])
        bad = pc.replace_substring(moved, "@", "(at)")
        email = pc.if_else(pa.array(kinds.get(Kind.BAD_EMAIL, nowhere)), bad, email)
        unknown = pa.array(kinds.get(Kind.UNKNOWN, nowhere))
        columns["email"] = pc.if_else(unknown, "", email)
        columns["mobile_number"] = pc.if_else(unknown, "", columns["mobile_number"])
        return pa.table(columns)
