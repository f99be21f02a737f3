"""Options that several commands have, and what is said about a value that is none of an option's."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Annotated

import typer

from engage_etl.errors import UsageError

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def demand_choice(option: str, value: str, choices: Iterable[str]) -> None:
    """Refuse a value that is not among an option's.

    Raises:
        UsageError: names option, value, what was expected and the nearest of it.
    """
    words = list(choices)
    if value not in words:
        raise wrong_value(option, value, f"expected {' or '.join(words)}", words)


def wrong_value(option: str, value: object, expected: str, choices: Iterable[str] = ()) -> UsageError:
    """The error of a value that does not fit; the nearest of the choices is proposed, regardless of case."""
    by_key = {word.lower(): word for word in choices}
    found = difflib.get_close_matches(str(value).lower(), by_key, n=1, cutoff=0.6)
    hint = f" Did you mean {by_key[found[0]]}?" if found else ""
    return UsageError(f"{option} {value!r} does not fit; {expected}.{hint}")
