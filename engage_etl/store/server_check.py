"""Where a running server is set otherwise than ``tuning.py`` recommends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, column, func, select, table

from engage_etl.store.tuning import ADVICE, Bound, amount

_pg_settings = table("pg_settings", column("name"))


@dataclass(frozen=True)
class Difference:
    """A setting that is not as recommended. value: as the server shows it; reason: why it should be otherwise."""

    name: str
    value: str
    recommended: str
    reason: str


def find_differences(connection: Connection, memory: int, *, is_embedded: bool) -> list[Difference]:
    """Hold the server against what is recommended for a machine with so many bytes of memory.

    Settings that its version does not know are left out.
    """
    name = _pg_settings.c.name
    wanted_names = [advice.name for advice in ADVICE]
    found = connection.execute(select(name, func.current_setting(name)).where(name.in_(wanted_names)))
    values: dict[str, str] = dict(found.tuples().all())
    return list(_differing(values, memory, is_embedded=is_embedded))


def _differing(values: dict[str, str], memory: int, *, is_embedded: bool) -> Iterator[Difference]:
    for advice in ADVICE:
        value, wanted = values.get(advice.name), advice.wanted(memory)
        if value is None or not (is_embedded or advice.is_for_all) or fits(value, wanted, advice.bound):
            continue
        shown = wanted if advice.bound is Bound.EXACTLY else f"{advice.bound} {wanted}"
        yield Difference(advice.name, value, shown, advice.why)


def fits(value: str, wanted: str, bound: Bound) -> bool:
    """Whether a value, as PostgreSQL spells it, is on the right side of the wanted one: ``8GB`` is ``8192MB``."""
    found, limit = amount(value), amount(wanted)
    if isinstance(found, str) or isinstance(limit, str):
        return value == wanted
    if bound is Bound.EXACTLY:
        return found == limit
    return found >= limit if bound is Bound.AT_LEAST else found <= limit
