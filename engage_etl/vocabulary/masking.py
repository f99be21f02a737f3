"""Personal data as it may be shown (R41)."""

from __future__ import annotations


def mask(value: str) -> str:
    """The value with its middle hidden: the first character, dots, and for an address the end of its domain.

    ``ann@example.com`` gives ``a…@….com``; ``4915112345678`` gives ``4…8``; up to two characters give ``…``.
    """
    if not value:
        return value
    local, at, domain = value.rpartition("@")
    if at and local and "." in domain:
        return f"{local[0]}…@….{domain.rsplit('.', 1)[1]}"
    if len(value) <= 2:
        return "…"
    if len(value) <= 4:
        return f"{value[0]}…"
    return f"{value[0]}…{value[-1]}"
