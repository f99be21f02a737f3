"""The sentences of the plan, put together inside the store."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Text, case, cast, func, literal

from engage_etl.vocabulary.masking import ADDRESS_WITH_DOMAIN

IDENTIFIER_SHOWN = 100
"""How many characters of an identifier a message shows at the most."""


def sentence(file: str, row: ColumnElement[int], *parts: str | ColumnElement[Any]) -> ColumnElement[str]:
    """``<file>, row <row>: `` and the parts, one after the other."""
    return func.concat(literal(f"{file}, row "), row, literal(": "), *map(_as_text, parts))


def masked(value: ColumnElement[str]) -> ColumnElement[str]:
    """What ``vocabulary.masking.mask`` makes of a value, in SQL (R41)."""
    ends = func.left(value, 1) + literal("…") + func.right(value, 1)
    return case(
        (value.op("~")(ADDRESS_WITH_DOMAIN), func.left(value, 1) + literal("…@….") + func.substring(value, r"[^.]*$")),
        (func.length(value) <= 2, literal("…")),
        (func.length(value) <= 4, func.left(value, 1) + literal("…")),
        else_=ends,
    )


def _as_text(part: str | ColumnElement[Any]) -> ColumnElement[str]:
    return literal(part, Text) if isinstance(part, str) else cast(part, Text)
