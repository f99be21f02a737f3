"""The sentence that says why validation rejects a row (R18, R41)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engage_etl.validated_rows.schema import KEY, Failure
from engage_etl.vocabulary.attributes import BY_FIELD, Attribute, Kind
from engage_etl.vocabulary.masking import mask
from engage_etl.vocabulary.outcomes import Reason

_SHOWN = 100
_LONGEST_CODE = 3
"""Characters of a code of a country or language, or of a title; what is longer in such a column may be a name."""
_ORDER = {reason: position for position, reason in enumerate(Reason)}


@dataclass(frozen=True)
class Rejection:
    """A row that validation rejects. fields: all bad ones; key: kind and text that the row is matched on, if readable."""

    row: int
    reason: Reason
    message: str
    fields: tuple[str, ...]
    key: tuple[str, str] | None = None


def reject(
    where: str, failures: list[Failure], values: Mapping[str, str | None], names: Mapping[str, str]
) -> tuple[Reason, str, tuple[str, ...]]:
    """Reason, message and fields for a bad row; the message names every bad field, the reason is the first in order.

    where: file and row; values: of the row, by column; names: column to header cell or element, as in the file.
    """
    ordered = sorted(failures, key=lambda failure: _ORDER[failure.rule.reason])
    faults = dict.fromkeys(_fault(failure, values, names) for failure in ordered)
    fields = dict.fromkeys(failure.column for failure in ordered if failure.column != KEY)
    message = f"{where}: {'; '.join(faults)}. Correct it and import the row again."
    return ordered[0].rule.reason, message, tuple(fields)


def drop_warning(
    where: str, failures: list[Failure], values: Mapping[str, str | None], names: Mapping[str, str]
) -> str:
    """The sentence for a row that is kept without its bad values (R18, ``invalid-values: drop``)."""
    faults = dict.fromkeys(_fault(failure, values, names) for failure in failures)
    return f"{where}: {'; '.join(faults)}. The value was dropped, and the rest of the row imported."


def _fault(failure: Failure, values: Mapping[str, str | None], names: Mapping[str, str]) -> str:
    if failure.column == KEY:
        what = "identifier" if failure.rule.reason is Reason.IDENTIFIER_MISSING else "address"
        return f"the row has no {what}; expected {failure.rule.expected}"
    name = names.get(failure.column, failure.column)
    value = values[failure.column] or ""
    hint = failure.rule.hint(value)
    told = f'{name} is "{_shown(failure.column, value)}", expected {failure.rule.expected}'
    return f"{told} ({hint})" if hint else told


def _shown(column: str, value: str) -> str:
    """A bad value as messages show it: in clear only what cannot be a person's, even where columns are shifted (R41)."""
    attribute = BY_FIELD.get(column)
    if attribute is None or attribute.personal or not _is_harmless(attribute, value):
        return mask(value)
    return value[:_SHOWN]


def _is_harmless(attribute: Attribute, value: str) -> bool:
    if "@" in value:
        return False
    if attribute.kind is Kind.IDENTIFIER:
        # Without a digit it is rather a name.
        return any(letter.isdigit() for letter in value)
    if attribute.kind is Kind.TIME_ZONE and "/" in value:
        return True
    return len(value) <= _LONGEST_CODE or value.lstrip("+-").isdigit()
