"""The rules for values: what each attribute accepts (R14-R17), over whole columns.

A blank value or a lacking one passes every rule here: whether it may be blank is not the value's affair.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from engage_etl.validated_rows.code_lists import country_codes, language_codes, time_zones
from engage_etl.validated_rows.hints import hint, is_invisible
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
# Spreadsheets always write the sign of the exponent: 12E3 is an identifier that somebody chose.
_MANGLED = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?[eE]\+[0-9]{1,3}")
_PARTNER_ID = re.compile(r"[0-9]{1,5}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))?"
)
_NUMBER = re.compile(r"[+-]?[0-9]{1,100}(?:\.[0-9]{1,100})?")

Accept = Callable[[str], bool]
_ALLOWED_NAMED = 20
EXPORT_AS_TEXT = "format the column as text in the spreadsheet before the values are entered, export it again"


@dataclass(frozen=True)
class Rule:
    """One rule for the values of a column.

    name: unique in the column; expected: in words; accept: judges one value; hint: what a value that fails was probably
    meant to be, for the message.
    """

    name: str
    reason: Reason
    expected: str
    accept: Accept
    hint: Callable[[str], str | None] = lambda _: None

    def passes(self, values: pd.Series) -> pd.Series:
        """Which values pass; each distinct value is judged once."""
        listed = values.tolist()
        failing = {value for value in set(listed) if isinstance(value, str) and value and not self.accept(value)}
        passed: npt.NDArray[np.bool_] = np.ones(len(listed), bool)
        if failing:
            passed = np.fromiter((value not in failing for value in listed), bool, len(listed))
        return pd.Series(passed, index=values.index)


def attribute_rules(attribute: Attribute, options: ImportOptions) -> list[Rule]:
    """The rules for a standard attribute (R16)."""
    if attribute.kind is Kind.IDENTIFIER:
        return _identifier_rules(attribute, options)
    reason = Reason.ADDRESS_INVALID if attribute.is_address else Reason.VALUE_INVALID
    return [Rule("value", reason, attribute.expected, _ACCEPT[attribute.kind], partial(hint, attribute.kind))]


def custom_rules(attribute: CustomAttribute) -> list[Rule]:
    """The rules for a custom attribute (R17)."""
    kind = attribute.type
    accept, expected = _ACCEPT_CUSTOM[kind], CUSTOM_EXPECTED[kind]
    rules = [Rule("type", Reason.VALUE_INVALID, expected, accept, partial(hint, kind))]
    if attribute.allowed_values is not None:
        allowed = frozenset(attribute.allowed_values)
        more = len(attribute.allowed_values) - _ALLOWED_NAMED
        expected = f"one of {', '.join(attribute.allowed_values[:_ALLOWED_NAMED])}" + (
            f" and {more} others" if more > 0 else ""
        )
        rules.append(Rule("enumeration", Reason.VALUE_INVALID, expected, allowed.__contains__))
    return rules


def _identifier_rules(attribute: Attribute, options: ImportOptions) -> list[Rule]:
    named = partial(hint, attribute.kind)
    rules = [Rule("form", Reason.IDENTIFIER_MALFORMED, attribute.expected, is_identifier, named)]
    if options.identifier_pattern == ALPHANUMERIC:
        rules.append(Rule("pattern", Reason.IDENTIFIER_MALFORMED, "letters and digits only", is_alphanumeric))
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


def is_identifier(value: str) -> bool:
    """Whether a text is an external identifier: not too long, without anything that cannot be seen (R14)."""
    if value.isascii():
        return len(value) <= LONGEST_TEXT and value.isprintable() and " " not in value
    return len(value) <= LONGEST_TEXT and not any(map(is_invisible, value))


def is_alphanumeric(value: str) -> bool:
    """Whether a text is of letters and decimal digits only, of any script; ``²`` and ``Ⅷ`` are neither (R14)."""
    return all(character.isalpha() or character.isdecimal() for character in value)


def is_email(value: str) -> bool:
    """Whether a text is an e-mail address by its syntax; no DNS look-up (R16)."""
    if PLAIN_EMAIL.match(value):
        return True
    from email_validator import EmailNotValidError, validate_email  # loaded for unusual addresses only

    try:
        # test_environment is the library's only switch that lets domains like .test pass.
        validate_email(value, check_deliverability=False, test_environment=True, strict=True)
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


_ACCEPT: dict[Kind, Accept] = {
    Kind.EMAIL: is_email,
    Kind.MOBILE: _full_match(_MOBILE),
    Kind.ALIAS: is_text,
    Kind.TEXT: is_text,
    Kind.TITLE: frozenset(("1", "2", "-1")).__contains__,
    Kind.DATE: is_date,
    Kind.PARTNER_ID: _full_match(_PARTNER_ID),
    Kind.COUNTRY: lambda value: value.upper() in country_codes() and value.isascii(),
    Kind.LANGUAGE: lambda value: value.lower() in language_codes() and value.isascii(),
    Kind.TIME_ZONE: lambda value: value in time_zones(),
}
_ACCEPT_CUSTOM: dict[CustomType, Accept] = {
    CustomType.STRING: is_text,
    CustomType.NUMBER: _full_match(_NUMBER),
    CustomType.DATE: is_date,
    CustomType.BOOLEAN: is_boolean,
}
CUSTOM_EXPECTED = {
    CustomType.STRING: f"a text of up to {LONGEST_TEXT} characters",
    CustomType.NUMBER: "a number like 3 or -12.50",
    CustomType.DATE: "YYYY-MM-DD or YYYY-MM-DDThh:mm:ss with an optional offset",
    CustomType.BOOLEAN: "true or false",
}
