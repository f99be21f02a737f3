"""Hints say what was probably meant; they stand in messages only, and name no personal data (R41)."""

from __future__ import annotations

import pytest

from engage_etl.validated_rows.hints import hint
from engage_etl.validated_rows.value_rules import _ACCEPT, _ACCEPT_CUSTOM
from engage_etl.vocabulary.attributes import CustomType, Kind


@pytest.mark.parametrize(
    ("kind", "value", "told"),
    [
        (Kind.EMAIL, "ann@x.org ", "remove the white space around it"),
        (Kind.EMAIL, "an n@x.org", "remove the white space in it"),
        (Kind.EMAIL, "ann@x,org", "write a dot instead of the comma"),
        (Kind.EMAIL, "ann@x.org,bob@x.org", "give one address only"),
        (Kind.EMAIL, "Ann <ann@x.org>", "remove the white space in it"),
        (Kind.EMAIL, "ann.x.org", "it has no @"),
        (Kind.EMAIL, "ann@", None),
        (Kind.MOBILE, "+49 151 12345678", "write digits only, without spaces and other signs"),
        (Kind.MOBILE, "(0049)151/12345678", "write digits only, without spaces and other signs"),
        (Kind.MOBILE, "004915112345678", "leave out the 00 in front, or write + instead"),
        (Kind.MOBILE, "015112345678", "begin with the code of the country instead of the 0"),
        (Kind.MOBILE, "nonsense", None),
        (Kind.DATE, "31.12.1984", "write the year first, then month and day"),
        (Kind.DATE, "31/12/1984", "write the year first, then month and day"),
        (Kind.DATE, "01/02/1984", "write the year first, then month and day; whether this is the day or the month first is not clear"),
        (Kind.DATE, "1984-12-31 10:00:00", "write T between date and time"),
        (Kind.DATE, "1983-02-29", None),
        (Kind.COUNTRY, "UK", "did you mean GB?"),
        (Kind.COUNTRY, "Germany", "did you mean DE?"),
        (Kind.COUNTRY, "XX", None),
        (Kind.LANGUAGE, "de-AT", "did you mean de?"),
        (Kind.LANGUAGE, "deu", "did you mean de?"),
        (Kind.LANGUAGE, "German", "did you mean de?"),
        (Kind.LANGUAGE, "xx", None),
        (Kind.TIME_ZONE, "europe/berlin", "did you mean Europe/Berlin?"),
        (Kind.TIME_ZONE, "America/New York", "did you mean America/New_York?"),
        (Kind.TIME_ZONE, "Nowhere", None),
        (CustomType.NUMBER, "1,5", "write a dot instead of the comma"),
        (CustomType.NUMBER, "1.000.000,5", "leave out the signs between thousands"),
        (CustomType.NUMBER, "1e5", "write all digits, without an exponent"),
        (CustomType.BOOLEAN, "Yes", "did you mean true?"),
    ],
)  # fmt: skip
def test_what_was_probably_meant(kind: Kind | CustomType, value: str, told: str | None) -> None:
    accept = _ACCEPT[kind] if isinstance(kind, Kind) else _ACCEPT_CUSTOM[kind]
    assert not accept(value)
    assert hint(kind, value) == told


def test_every_hint_for_personal_data_is_without_the_value() -> None:
    for kind, value in ((Kind.EMAIL, "secret@x,org"), (Kind.MOBILE, "0049151999888777"), (Kind.DATE, "31.12.1984")):
        told = hint(kind, value) or ""
        assert not any(part in told for part in ("secret", "999", "1984", "31"))
