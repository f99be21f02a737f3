"""The Pandera schema of a file's rows, built from the catalogue (R3, R9, R14-R18)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from engage_etl.validated_rows.value_rules import Rule, attribute_rules, custom_rules
from engage_etl.vocabulary.attributes import ATTRIBUTES
from engage_etl.vocabulary.custom_attribute import CustomAttribute
from engage_etl.vocabulary.options import ImportOptions
from engage_etl.vocabulary.outcomes import Reason

KEY = "match key"
"""Column with the value that each row is matched on, beside the columns of the file."""

_KEY_IS_GIVEN = "is given"


@dataclass(frozen=True)
class Failure:
    """A value that a rule does not accept. column: field, ``custom.<name>`` or ``member.<name>``, or KEY."""

    column: str
    rule: Rule


class RowSchema:
    """What the rows of one import must be. attributes: custom and member attributes by column."""

    def __init__(self, options: ImportOptions, attributes: Mapping[str, CustomAttribute]) -> None:
        self._rules: dict[str, dict[str, Rule]] = {KEY: {_KEY_IS_GIVEN: _key_rule(options)}}
        for attribute in ATTRIBUTES:
            self._rules[attribute.field] = {rule.name: rule for rule in attribute_rules(attribute, options)}
        for column, definition in attributes.items():
            self._rules[column] = {rule.name: rule for rule in custom_rules(definition)}
        columns = {column: self._column(column) for column in self._rules}
        self._schema = pa.DataFrameSchema(columns, strict=False)

    def failures(self, frame: pd.DataFrame) -> dict[int, list[Failure]]:
        """Check all columns at once; every failure of each row, by the row's position in the frame.

        frame: a text column per field that the file has, and KEY; index 0 to n-1.
        """
        try:
            self._schema.validate(frame, lazy=True)
        except SchemaErrors as errors:
            # Not the exception's text: it grows with the failures and holds clear values.
            return self._by_row(errors.failure_cases)
        return {}

    def _by_row(self, cases: pd.DataFrame) -> dict[int, list[Failure]]:
        found: dict[int, list[Failure]] = defaultdict(list)
        for position, column, check in zip(cases["index"], cases["column"], cases["check"], strict=True):
            found[int(position)].append(Failure(column, self._rules[column][check]))
        return dict(found)

    def _column(self, name: str) -> pa.Column:
        checks = [
            pa.Check(_check(rule, is_key=name == KEY), name=rule.name, error=rule.name, ignore_na=False)
            for rule in self._rules[name].values()
        ]
        return pa.Column(None, checks, nullable=True, required=name == KEY)


def _check(rule: Rule, *, is_key: bool):  # type: ignore[no-untyped-def]
    if is_key:
        return lambda values: values.notna() & (values != "")
    return rule.passes


def _key_rule(options: ImportOptions) -> Rule:
    reason = Reason.IDENTIFIER_MISSING if options.use_external_identifier else Reason.ADDRESS_MISSING
    expected = "an external identifier" if options.use_external_identifier else "an address"
    return Rule(_KEY_IS_GIVEN, reason, f"{expected}, since rows are matched on it", lambda value: value != "")
