"""What people probably meant by a value that does not fit: hints for messages, which never change an outcome.

Hints about personal data name no value, since messages are masked (R41).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from difflib import get_close_matches

import pycountry

from engage_etl.validated_rows.code_lists import language_codes, time_zones
from engage_etl.vocabulary.attributes import CustomType, Kind

_OTHER_DATE = re.compile(r"(?P<first>[0-9]{1,2})[./-](?P<second>[0-9]{1,2})[./-](?P<year>[0-9]{4})")
_COMMON_COUNTRIES = {"UK": "GB", "EN": "GB", "EL": "GR"}
_YES_AND_NO = {"yes": "true", "y": "true", "on": "true", "no": "false", "n": "false", "off": "false"}


def hint(kind: Kind | CustomType, value: str) -> str | None:
    """What to write instead, for a value that its rule does not accept; None where nobody can guess."""
    if value != value.strip() and kind is not Kind.IDENTIFIER:
        return "remove the white space around it"
    found = _HINTS.get(kind)
    return found(value) if found is not None else None


def invisible_characters(value: str) -> str | None:
    """Names and places of the characters of an identifier that nobody can see, None if it has none (R14)."""
    found = [
        f"U+{ord(character):04X} ({unicodedata.name(character, 'a control character')}) at character {place}"
        for place, character in enumerate(value, 1)
        if is_invisible(character) and character != " "
    ]
    return "it has " + ", ".join(found[:3]) + (" and others" if len(found) > 3 else "") if found else None


def is_invisible(character: str) -> bool:
    """Whether a character is white space, a control character or a format character like a zero-width space."""
    return character.isspace() or unicodedata.category(character) in ("Cc", "Cf")


def _email(value: str) -> str | None:
    if any(character.isspace() for character in value):
        return "remove the white space in it"
    if "," in value:
        return "write a dot instead of the comma" if value.count("@") == 1 else "give one address only"
    if "<" in value:
        return "give the address alone, without the name"
    return "it has no @" if "@" not in value else None


def _mobile(value: str) -> str | None:
    digits = re.sub(r"[\s()/.-]", "", value)
    if digits != value and _is_number(digits):
        return "write digits only, without spaces and other signs"
    if value.startswith("00") and _is_number("+" + value[2:]):
        return "leave out the 00 in front, or write + instead"
    if value.startswith("0"):
        return "begin with the code of the country instead of the 0"
    return None


def _is_number(text: str) -> bool:
    """Whether the library takes a text for a phone number of some country."""
    import phonenumbers  # loaded for numbers that do not fit only

    digits = text.removeprefix("+").removeprefix("00")
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse("+" + digits, None))
    except phonenumbers.NumberParseException:
        return False


def _date(value: str) -> str | None:
    if (found := _OTHER_DATE.fullmatch(value)) is not None:
        if "." in value or int(found["first"]) > 12:
            return "write the year first, then month and day"
        return "write the year first, then month and day; whether this is the day or the month first is not clear"
    if re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]", value):
        return "write T between date and time"
    return None


def _country(value: str) -> str | None:
    if (code := _COMMON_COUNTRIES.get(value.upper())) is not None:
        return f"did you mean {code}?"
    try:
        return f"did you mean {pycountry.countries.lookup(value).alpha_2}?"
    except LookupError:
        return None


def _language(value: str) -> str | None:
    if (code := value[:2].lower()) in language_codes() and value[2:3] in ("-", "_"):
        return f"did you mean {code}?"
    try:
        code = getattr(pycountry.languages.lookup(value), "alpha_2", "")
    except LookupError:
        return None
    return f"did you mean {code}?" if code else None


def _time_zone(value: str) -> str | None:
    by_key = {name.lower(): name for name in sorted(time_zones())}
    found = get_close_matches(value.lower().replace(" ", "_"), by_key, n=1, cutoff=0.8)
    return f"did you mean {by_key[found[0]]}?" if found else None


def _number(value: str) -> str | None:
    if re.fullmatch(r"[+-]?[0-9]+,[0-9]+", value):
        return "write a dot instead of the comma"
    if re.fullmatch(r"[+-]?[0-9]{1,3}(?:[ .,'\u00a0\u202f][0-9]{3})+(?:[.,][0-9]+)?", value):
        return "leave out the signs between thousands"
    return "write all digits, without an exponent" if re.fullmatch(r"[+-]?[0-9.]+[eE][+-]?[0-9]+", value) else None


def _boolean(value: str) -> str | None:
    word = _YES_AND_NO.get(value.lower())
    return f"did you mean {word}?" if word else None


_HINTS: dict[Kind | CustomType, Callable[[str], str | None]] = {
    Kind.IDENTIFIER: invisible_characters,
    Kind.EMAIL: _email,
    Kind.MOBILE: _mobile,
    Kind.DATE: _date,
    Kind.COUNTRY: _country,
    Kind.LANGUAGE: _language,
    Kind.TIME_ZONE: _time_zone,
    CustomType.NUMBER: _number,
    CustomType.DATE: _date,
    CustomType.BOOLEAN: _boolean,
}
