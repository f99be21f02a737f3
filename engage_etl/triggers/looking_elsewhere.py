"""One look at the S3 and SFTP sources: a look costs money or time, so that each is left in peace for a while after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engage_etl.sources.opening import Sources
from engage_etl.store.engine import Store
from engage_etl.triggers.arrivals import Look, take_arrivals
from engage_etl.triggers.automations import Automation
from engage_etl.vocabulary.locations import RemoteLocation, is_remote

AFTER_SILENCE = 60.0
"""Seconds until an address is asked again that did not answer."""


@dataclass(frozen=True)
class Rest:
    """How long an address rests. until: seconds since the epoch; why: it did not answer, in a sentence, else blank."""

    until: float
    why: str = ""


@dataclass(frozen=True)
class Elsewhere:
    """What goes from one tick to the next.

    seen: what was seen and is not taken yet; rests: by address; complaints: of the last look.
    """

    seen: Look = field(default_factory=dict)
    rests: dict[str, Rest] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)


def look_elsewhere(
    store: Store, automations: Sequence[Automation], before: Elsewhere, sources: Sources, now: float
) -> Elsewhere:
    """Take what has arrived at the sources that do not rest.

    sources: those that did not answer and rest are given up already; now: seconds since the epoch.
    """
    elsewhere = [one for one in automations if isinstance(one.source, RemoteLocation) and one.is_active]
    asked = [one for one in elsewhere if _until(one, before.rests) <= now]
    resting = tuple(f"{one.source}/" for one in elsewhere if one not in asked)
    seen = {place: state for place, state in before.seen.items() if place.startswith(resting)}
    complaints: list[str] = []
    taken: list[str] = []
    if asked:
        taken, found = take_arrivals(store, asked, before.seen, now, complaints.append, sources)
        seen |= {place: state for place, state in found.items() if is_remote(place)}
    elif elsewhere:
        complaints = before.complaints
    # While files come, more may wait.
    interval = 0.0 if taken else store.settings.remote_interval
    rests = _rests(asked, before.rests, sources, now, interval)
    silent = [rest.why for rest in rests.values() if rest.why]
    return Elsewhere(seen, rests, list(dict.fromkeys([*complaints, *silent])))


def given_up(rests: Mapping[str, Rest], now: float) -> dict[str, str]:
    """Sentences by address, of those that did not answer and rest."""
    return {address: rest.why for address, rest in rests.items() if rest.why and rest.until > now}


def _rests(
    asked: Sequence[Automation], before: Mapping[str, Rest], sources: Sources, now: float, interval: float
) -> dict[str, Rest]:
    """The rests after a look. interval: seconds."""
    rests = {address: rest for address, rest in before.items() if rest.until > now}
    addresses = {one.source.address for one in asked if isinstance(one.source, RemoteLocation)}
    rests |= dict.fromkeys(addresses, Rest(now + interval))
    for address, why in sources.given_up.items():
        rested = before.get(address)
        is_known = rested is not None and rested.why and address not in addresses
        rests[address] = rested if is_known and rested is not None else Rest(now + AFTER_SILENCE, why)
    return rests


def _until(automation: Automation, rests: Mapping[str, Rest]) -> float:
    source = automation.source
    return rests[source.address].until if isinstance(source, RemoteLocation) and source.address in rests else 0.0
