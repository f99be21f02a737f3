"""When sources elsewhere may be asked again: a look at S3 costs money, and one that does not answer costs time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engage_etl.triggers.automations import Automation
from engage_etl.vocabulary.locations import RemoteLocation

AFTER_SILENCE = 60.0
"""Seconds until an address is asked again that did not answer."""


@dataclass(frozen=True)
class Rest:
    """How long an address rests. until: seconds since the epoch; why: it did not answer, in a sentence, else blank."""

    until: float
    why: str = ""


Rests = dict[str, Rest]
"""By address."""


def awake(automations: Sequence[Automation], rests: Rests, now: float) -> list[Automation]:
    """The automations whose sources may be asked now; local ones always."""
    return [automation for automation in automations if _until(automation, rests) <= now]


def given_up(rests: Rests, now: float) -> dict[str, str]:
    """Sentences by address, of those that did not answer and rest."""
    return {address: rest.why for address, rest in rests.items() if rest.why and rest.until > now}


def rests_after(
    asked: Sequence[Automation], before: Rests, silent: dict[str, str], now: float, interval: float
) -> Rests:
    """The rests after a look. asked: automations looked at; silent: sentences by address; interval: seconds."""
    rests = {address: rest for address, rest in before.items() if rest.until > now}
    for automation in asked:
        if isinstance(automation.source, RemoteLocation) and automation.is_active:
            rests[automation.source.address] = Rest(now + interval)
    for address, why in silent.items():
        if not (address in before and before[address].why and before[address].until > now):
            rests[address] = Rest(now + AFTER_SILENCE, why)
    return rests


def _until(automation: Automation, rests: Rests) -> float:
    source = automation.source
    return rests[source.address].until if isinstance(source, RemoteLocation) and source.address in rests else 0.0
