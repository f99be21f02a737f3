"""Codes of countries, languages and time zones, from the libraries that keep these lists (R16)."""

from __future__ import annotations

from functools import cache
from importlib import resources

import pycountry

_NO_PLACES = {"Factory", "localtime", "posixrules"}
"""Names in the database that are no time zones of people."""


@cache
def country_codes() -> frozenset[str]:
    """ISO 3166-1 codes of two and of three letters, in upper case."""
    return frozenset(code for country in pycountry.countries for code in (country.alpha_2, country.alpha_3))


@cache
def language_codes() -> frozenset[str]:
    """ISO 639-1 codes of two letters, in lower case."""
    return frozenset(language.alpha_2 for language in pycountry.languages if hasattr(language, "alpha_2"))


@cache
def time_zones() -> frozenset[str]:
    """Names in the IANA time zone database, as packaged for Python: machines differ in theirs."""
    names = (resources.files("tzdata") / "zones").read_text(encoding="ascii").split()
    return frozenset(names) - _NO_PLACES
