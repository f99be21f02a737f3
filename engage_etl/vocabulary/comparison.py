"""Comparison forms of addresses (R13), computed in Python only: PostgreSQL lower-cases other letters than Python."""

from __future__ import annotations

from engage_etl.vocabulary.attributes import Kind


def comparison_form(kind: Kind, value: str) -> str:
    """The form in which an address is compared with others of its kind (R13).

    E-mail addresses regardless of case, mobile numbers without a leading ``+``, aliases exactly.
    """
    if kind is Kind.EMAIL:
        return value.lower()
    if kind is Kind.MOBILE:
        return value.removeprefix("+")
    return value


def group_key(name: str) -> str:
    """The form in which names of groups are compared: regardless of case (R22), and of space around them."""
    return name.strip().lower()
