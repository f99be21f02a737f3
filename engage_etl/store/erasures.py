"""The record that somebody was erased: when, on whose word, how much; nothing about the person but the contact's id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from engage_etl.store.tables import erasure


@dataclass(frozen=True)
class Erasure:
    """An erasure. ended_at: None if it was begun and has to be done again to its end; erased: how much, by where."""

    erasure_id: int
    contact_id: int
    asked_by: str
    began_at: datetime
    ended_at: datetime | None
    erased: dict[str, int]


def find_erasures(connection: Connection, contact_id: int) -> list[Erasure]:
    """The erasures of a contact, the first one first."""
    query = select(erasure).where(erasure.c.contact_id == contact_id).order_by(erasure.c.erasure_id)
    return [Erasure(**row) for row in connection.execute(query).mappings()]


def begin_erasure(connection: Connection, contact_id: int, asked_by: str) -> Erasure:
    """The erasure of a contact that a killed process began, or a new one."""
    begun = [found for found in find_erasures(connection, contact_id) if found.ended_at is None]
    if begun:
        return begun[0]
    connection.execute(insert(erasure).values(contact_id=contact_id, asked_by=asked_by))
    return find_erasures(connection, contact_id)[-1]


def add_erased(connection: Connection, begun: Erasure, erased: Mapping[str, int]) -> None:
    """Add to what an erasure has erased so far."""
    so_far = connection.scalar(select(erasure.c.erased).where(erasure.c.erasure_id == begun.erasure_id)) or {}
    total = Counter(so_far) + Counter(erased)
    connection.execute(update(erasure).where(erasure.c.erasure_id == begun.erasure_id).values(erased=dict(total)))


def end_erasure(connection: Connection, begun: Erasure) -> None:
    """Enter that nothing of the person is left."""
    connection.execute(
        update(erasure).where(erasure.c.erasure_id == begun.erasure_id).values(ended_at=func.clock_timestamp())
    )
