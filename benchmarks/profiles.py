"""The contacts of the benchmark: each number has one profile, worked out for whole columns at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

FIELDS = (
    "email", "identifier", "mobile_number", "first_name", "last_name", "zip_code", "country_code", "language_code",
    "date_of_birth", "title", "colour", "shop",
)  # fmt: skip
"""The twelve columns of a file; the last two are custom attributes."""

CUSTOM_NAMES = {"colour": "colour", "shop": "Favourite shop"}
"""Names of the custom attributes, as files spell them."""

CHANGEABLE = ("first_name", "last_name", "zip_code", "title", "colour", "shop")
"""Profile fields of which the nightly file changes one."""

# About as many as real files have: where few names come again and again, a program that judges each once has less to do.
_FIRST_NAMES = tuple(
    begin + end
    for begin in ("An", "Bjö", "Car", "Da", "El", "Flo", "Gre", "Han", "I", "Jo", "Kat", "Lé", "Ma", "No", "Os", "Zoë")
    for end in (
        "a",
        "bert",
        "dia",
        "elle",
        "gard",
        "is",
        "ja",
        "lena",
        "lia",
        "mund",
        "na",
        "rik",
        "ta",
        "tin",
        "ulf",
        "xa",
    )
)
_LAST_NAMES = tuple(
    begin + end
    for begin in (
        "Acker", "Ahr", "Bach", "Berg", "Birk", "Brück", "Dorn", "Eich", "Fels", "Feld", "Gold", "Grün", "Hart", "Hell",
        "Höll", "Kalt", "Kirch", "Köh", "Lang", "Lind", "Mühl", "Nord", "Ost", "Reich", "Rosen", "Schön", "Stein",
        "Süd", "Tann", "Wald", "Weiß", "Ziegel",
    )
    for end in (
        "acher", "auer", "bauer", "berg", "born", "bruch", "dorf", "eck", "egger", "er", "feld", "felder", "graf", "hagen",
        "haus", "heim", "hof", "hofer", "huber", "ing", "ler", "mann", "meier", "müller", "ner", "rath", "reiter",
        "richter", "stein", "städter", "thal", "wald",
    )
)  # fmt: skip
_COLOURS = ("red", "green", "blue", "yellow", "black", "white", "orange")
_SHOPS = (
    "Mitte",
    "Altona",
    "Süd",
    "Am Dom",
    "Hafen City",
    "Neustadt",
    "Zürich HB",
    "Graz",
    "Lyon",
    "Westend",
    "Online",
)
_COUNTRIES = ("DE", "DE", "DE", "DE", "AT", "CH", "FR")
_LANGUAGES = ("de", "de", "de", "de", "de", "de", "fr")

_LETTERS = str.maketrans({"ü": "ue", "ö": "oe", "ä": "ae", "ß": "ss", "é": "e", "è": "e", "ë": "e"})
_MOBILES = 1_000_000_000
_SCATTER = 7_368_787
"""Without a common factor with a power of ten, so that scattered numbers stay unique."""

Indexes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Profiles:
    """The profiles of some numbers; values: place of each field's value in its list of values, or the value itself."""

    numbers: Indexes
    values: dict[str, Indexes]

    @classmethod
    def of(cls, numbers: Indexes) -> Profiles:
        """The profiles as the store is filled with them."""
        mixed = _mixed(numbers)
        return cls(
            numbers,
            {
                "mobile_number": numbers * _SCATTER % _MOBILES,
                "first_name": mixed % len(_FIRST_NAMES),
                "last_name": mixed // 257 % len(_LAST_NAMES),
                "zip_code": mixed // 7_919 % 99_000 + 1_000,
                "country_code": mixed // 11 % len(_COUNTRIES),
                "date_of_birth": mixed // 17 % (80 * 365),
                "title": mixed // 13 % 2,
                "colour": mixed // 19 % len(_COLOURS),
                "shop": mixed // 23 % len(_SHOPS),
            },
        )

    def change(self, field: str, where: npt.NDArray[np.bool_]) -> None:
        """Give a field other values in some rows."""
        values = self.values[field]
        if field == "mobile_number":
            # Past all numbers that are given out: ten digits where others have nine.
            values[where] += _MOBILES
        else:
            values[where] = (values[where] + 1) % _SIZES[field]

    def columns(self, domain: str) -> dict[str, Any]:
        """The twelve columns, all texts."""
        values = self.values
        columns = {
            "email": self.emails(domain),
            "identifier": _joined("CRM-", _padded(self.numbers, 9)),
            "mobile_number": _joined("4915", _padded(values["mobile_number"], 9)),
            "zip_code": _padded(values["zip_code"], 5),
            "date_of_birth": _dates(values["date_of_birth"]),
            "title": _taken(("1", "2"), values["title"]),
            "language_code": _taken(_LANGUAGES, values["country_code"]),
        }
        for field, words in _WORDS.items():
            columns[field] = _taken(words, values[field])
        return {field: columns[field] for field in FIELDS}

    def emails(self, domain: str) -> Any:
        """Addresses like anna.bauer.17@example.com; the name is that which the number began with."""
        mixed = _mixed(self.numbers)
        first = _taken([_as_local_part(name) for name in _FIRST_NAMES], mixed % len(_FIRST_NAMES))
        last = _taken([_as_local_part(name) for name in _LAST_NAMES], mixed // 257 % len(_LAST_NAMES))
        return _joined(first, ".", last, ".", pc.cast(pa.array(self.numbers), pa.string()), f"@{domain}")


_WORDS = {
    "first_name": _FIRST_NAMES,
    "last_name": _LAST_NAMES,
    "country_code": _COUNTRIES,
    "colour": _COLOURS,
    "shop": _SHOPS,
}
_SIZES = {field: len(words) for field, words in _WORDS.items()} | {"zip_code": 100_000, "title": 2}


def _mixed(numbers: Indexes) -> Indexes:
    """A number that looks like chance and is always the same for a number."""
    mixed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    return ((mixed * np.uint64(0xBF58476D1CE4E5B9)) >> np.uint64(24)).astype(np.int64)


def _as_local_part(name: str) -> str:
    return name.lower().translate(_LETTERS)


def _taken(words: tuple[str, ...] | list[str], places: Indexes) -> Any:
    return pa.array(words).take(pa.array(places))


def _padded(numbers: Indexes, width: int) -> Any:
    return pc.utf8_lpad(pc.cast(pa.array(numbers), pa.string()), width=width, padding="0")


def _joined(*parts: Any) -> Any:
    return pc.binary_join_element_wise(*parts, "")


def _dates(days: Indexes) -> Any:
    return pc.cast(pa.array(days.astype("datetime64[D]") - np.timedelta64(40 * 365, "D")), pa.string())
