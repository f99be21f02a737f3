"""The rules for values: what each attribute accepts (R14-R17), over whole columns.

A blank value or a lacking one passes every rule here: whether it may be blank is not the value's affair.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd
import pycountry
from email_validator import EmailNotValidError, validate_email

from engage_etl.vocabulary.attributes import LONGEST_TEXT, Attribute, CustomType, Kind
from engage_etl.vocabulary.custom_attribute import CustomAttribute
from engage_etl.vocabulary.options import ALPHANUMERIC, ImportOptions, MangledIdentifiers
from engage_etl.vocabulary.outcomes import Reason

PLAIN_EMAIL = re.compile(
    r"(?=[^@]{1,64}@)(?=.{6,254}\Z)[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9]|-(?!-)){0,60}[A-Za-z0-9]\.|[A-Za-z0-9]\.)+"
    r"(?!(?i:arpa|invalid|local|localhost|onion)\Z)[A-Za-z]{2,24}\Z"
)
"""Plain ASCII addresses; whatever it accepts, email-validator accepts too, which takes a hundred times longer."""

_MOBILE = re.compile(r"\+?[1-9][0-9]{4,14}")
_IDENTIFIER = re.compile(rf"[^\s\x00-\x1f\x7f-\x9f]{{1,{LONGEST_TEXT}}}")
_MANGLED = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?[eE]\+?[0-9]{1,3}")
_PARTNER_ID = re.compile(r"[0-9]{1,5}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])?"
)
_NUMBER = re.compile(r"[+-]?[0-9]{1,100}(?:\.[0-9]{1,100})?")

Accept = Callable[[str], bool]
EXPORT_AS_TEXT = "format the column as text in the spreadsheet before the values are entered, export it again"


@dataclass(frozen=True)
class Rule:
    """One rule for the values of a column. name: unique in the column; expected: in words; accept: judges one value."""

    name: str
    reason: Reason
    expected: str
    accept: Accept

    def passes(self, values: pd.Series) -> pd.Series:
        """Which values pass; each distinct value is judged once."""
        listed = values.tolist()
        verdicts = {value: not isinstance(value, str) or value == "" or self.accept(value) for value in set(listed)}
        passed: npt.NDArray[np.bool_] = np.fromiter((verdicts[value] for value in listed), bool, len(listed))
        return pd.Series(passed, index=values.index)


def attribute_rules(attribute: Attribute, options: ImportOptions) -> list[Rule]:
    """The rules for a standard attribute (R16)."""
    if attribute.kind is Kind.IDENTIFIER:
        return _identifier_rules(attribute, options)
    reason = Reason.ADDRESS_INVALID if attribute.is_address else Reason.VALUE_INVALID
    return [Rule("value", reason, attribute.expected, _ACCEPT[attribute.kind])]


def custom_rules(attribute: CustomAttribute) -> list[Rule]:
    """The rules for a custom attribute (R17)."""
    rules = [Rule("type", Reason.VALUE_INVALID, _CUSTOM_EXPECTED[attribute.type], _ACCEPT_CUSTOM[attribute.type])]
    if attribute.allowed_values is not None:
        allowed = frozenset(attribute.allowed_values)
        expected = f"one of {', '.join(attribute.allowed_values)}"
        rules.append(Rule("enumeration", Reason.VALUE_INVALID, expected, allowed.__contains__))
    return rules


def _identifier_rules(attribute: Attribute, options: ImportOptions) -> list[Rule]:
    well_formed, expected = _IDENTIFIER, attribute.expected
    rules = [Rule("form", Reason.IDENTIFIER_MALFORMED, expected, _full_match(well_formed))]
    if options.identifier_pattern == ALPHANUMERIC:
        rules.append(Rule("pattern", Reason.IDENTIFIER_MALFORMED, "letters and digits only", str.isalnum))
    elif options.identifier_pattern is not None:
        wanted = f"a text that matches {options.identifier_pattern}"
        narrower = _full_match(re.compile(options.identifier_pattern))
        rules.append(Rule("pattern", Reason.IDENTIFIER_MALFORMED, wanted, narrower))
    if options.mangled_identifiers is MangledIdentifiers.REJECT:
        expected = f"the identifier itself: a spreadsheet has made a number of it; {EXPORT_AS_TEXT}"
        rules.append(Rule("mangled", Reason.IDENTIFIER_MANGLED, expected, lambda value: not _MANGLED.fullmatch(value)))
    return rules


def _full_match(pattern: re.Pattern[str]) -> Accept:
    return lambda value: pattern.fullmatch(value) is not None


def is_email(value: str) -> bool:
    """Whether a text is an e-mail address by its syntax; no DNS look-up (R16)."""
    if PLAIN_EMAIL.match(value):
        return True
    try:
        # test_environment is the library's only switch that lets domains like .test pass.
        validate_email(value, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return False
    return True


def is_text(value: str) -> bool:
    """Whether a text can be stored: not too long, no NUL character."""
    return len(value) <= LONGEST_TEXT and "\0" not in value


def is_date(value: str) -> bool:
    """Whether a text is a date of the calendar, or a date and time with an optional offset (R16)."""
    try:
        if _DATE.fullmatch(value):
            date.fromisoformat(value)
            return True
        if _DATE_TIME.fullmatch(value):
            datetime.fromisoformat(value)
            return True
    except ValueError:
        return False
    return False


def is_boolean(value: str) -> bool:
    """Whether a text is a truth value: true, false, 1 or 0, in any case."""
    return value.lower() in ("true", "false", "1", "0")


@cache
def _country_codes() -> frozenset[str]:
    return frozenset(code for country in pycountry.countries for code in (country.alpha_2, country.alpha_3))


@cache
def _language_codes() -> frozenset[str]:
    return frozenset(language.alpha_2 for language in pycountry.languages if hasattr(language, "alpha_2"))


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


_ACCEPT: dict[Kind, Accept] = {
    Kind.EMAIL: is_email,
    Kind.MOBILE: _full_match(_MOBILE),
    Kind.ALIAS: is_text,
    Kind.TEXT: is_text,
    Kind.TITLE: frozenset(("1", "2", "-1")).__contains__,
    Kind.DATE: is_date,
    Kind.PARTNER_ID: _full_match(_PARTNER_ID),
    Kind.COUNTRY: lambda value: value.upper() in _country_codes() and value.isascii(),
    Kind.LANGUAGE: lambda value: value.lower() in _language_codes() and value.isascii(),
    Kind.TIME_ZONE: lambda value: value in _time_zones(),
}
_ACCEPT_CUSTOM: dict[CustomType, Accept] = {
    CustomType.STRING: is_text,
    CustomType.NUMBER: _full_match(_NUMBER),
    CustomType.DATE: is_date,
    CustomType.BOOLEAN: is_boolean,
}
_CUSTOM_EXPECTED = {
    CustomType.STRING: f"a text of up to {LONGEST_TEXT} characters",
    CustomType.NUMBER: "a number like 3 or -12.50",
    CustomType.DATE: "YYYY-MM-DD or YYYY-MM-DDThh:mm:ss with an optional offset",
    CustomType.BOOLEAN: "true or false",
}
