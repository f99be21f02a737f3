"""Personal data as it may be shown (R41)."""

from __future__ import annotations

import re

ADDRESS_WITH_DOMAIN = r"^.+@[^@]*\.[^@]*$"
"""What is masked like an e-mail address; understood alike by Python and by PostgreSQL."""

_ADDRESS = re.compile(ADDRESS_WITH_DOMAIN, re.DOTALL)


def mask(value: str) -> str:
    """The value with its middle hidden: its first and last character, for an address its top-level domain.

    ``ann@example.com`` gives ``a…@….com``; ``4915112345678`` gives ``4…8``; up to two characters give ``…``.
    """
    if not value:
        return value
    if _ADDRESS.match(value):
        return f"{value[0]}…@….{value.rsplit('.', 1)[1]}"
    if len(value) <= 2:
        return "…"
    if len(value) <= 4:
        return f"{value[0]}…"
    return f"{value[0]}…{value[-1]}"
