"""What an import can be told: the options of ``engage-etl import`` and their twins in ``automations.yaml``."""

from __future__ import annotations

import re
from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from engage_etl.vocabulary.choices import (
    ApprovalNeeded,
    Duplicates,
    FileType,
    ImportMode,
    InvalidValues,
    MangledIdentifiers,
)
from engage_etl.vocabulary.import_modes import MODES, ModeRules
from engage_etl.vocabulary.update_rules import UpdateRules

SEPARATORS = (",", ";", "\t", "|")
ALPHANUMERIC = "alphanumeric"
WHETHER_APPLIED = frozenset({"max_rejected", "max_changed", "approval", "dry_run"})
"""Options that say whether a plan is applied, and nothing about what it does."""
_BRAKE = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<percent>\s*%)?")


class Brake(BaseModel):
    """A limit on rows of one kind, as a share of all rows or as a number (R34).

    percent: 0 to 100, or None; rows: a number of rows, or None. Exceeded means strictly greater.
    """

    model_config = ConfigDict(frozen=True)

    percent: Decimal | None = None
    rows: int | None = None

    @classmethod
    def parse(cls, text: str) -> Brake:
        """Read ``5%`` or ``100``.

        Raises:
            ValueError: neither a percentage from 0% to 100% nor a whole number.
        """
        found = _BRAKE.fullmatch(text.strip())
        if found and found["percent"] and Decimal(found["number"]) <= 100:
            return cls(percent=Decimal(found["number"]))
        if found and not found["percent"] and found["number"].isdigit():
            return cls(rows=int(found["number"]))
        raise ValueError(f"{text!r} is neither a share like 5% nor a number of rows like 100")

    def is_exceeded(self, rows: int, of_rows: int) -> bool:
        """Whether ``rows`` of ``of_rows`` are more than the brake lets pass."""
        if self.percent is not None:
            return rows * 100 > self.percent * of_rows
        return self.rows is not None and rows > self.rows

    def __str__(self) -> str:
        return f"{self.percent}%" if self.percent is not None else str(self.rows)


class ImportOptions(BaseModel):
    """The options of one import, checked; kept with the import in the register."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: str = Field(min_length=1, pattern=r"^[^\x00-\x1f]*$", description="Name of an existing group (R22).")
    use_external_identifier: bool = Field(
        False, description="Match on the external identifier and nothing else (R1, R2)."
    )
    import_mode: ImportMode = Field(
        ImportMode.ADD_AND_UPDATE, description="What may happen to members, contacts and new ones (R20)."
    )
    file_type: FileType | None = Field(
        None, description="csv, xml or text (a list of addresses); detected where it is not stated."
    )
    separator: str | None = Field(None, description="Separator of a CSV file; detected where it is not stated (R24).")
    character_set: str | None = Field(
        None, description="Encoding of a CSV file; detected where it is not stated (R24)."
    )
    update_rule: tuple[str, ...] = Field(
        (), description="When values are written: a rule for all fields, and FIELD=RULE for single ones (R19)."
    )
    duplicates: Duplicates = Field(
        Duplicates.LAST, description="Rows with one match key: the last one counts, or all are rejected (R10)."
    )
    link_unidentified: bool = Field(
        False, description="Give the identifier of a new row to the contact without one that has its address (R12)."
    )
    identifier_pattern: str | None = Field(
        None, description="alphanumeric, or a regular expression for the whole identifier (R14)."
    )
    mangled_identifiers: MangledIdentifiers = Field(
        MangledIdentifiers.REJECT, description="Identifiers that a spreadsheet has mangled, like 1.23E+11 (R15)."
    )
    invalid_values: InvalidValues = Field(
        InvalidValues.REJECT,
        description="A value that does not fit rejects its row, or is dropped; addresses and identifiers reject (R18).",
    )
    ignore_unsubscribed: bool = Field(False, description="Skip rows of members who left this group (R21).")
    ignore_deactivated: bool = Field(
        False, description="Skip rows of contacts that were switched off after delivery failures (R21)."
    )
    max_rejected: str | None = Field(
        None,
        description="Stop after the plan past this many rejected rows: 5% or 100 (R34). Default: over half, at least ten.",
    )
    max_changed: str | None = Field(
        None,
        description="Stop after the plan past this many rows that create or update: 5% or 100 (R34). Default: no limit.",
    )
    approval: ApprovalNeeded = Field(
        ApprovalNeeded.NONE,
        description="Who approves the plan before it is applied: none, required, or second-person, who is not the one "
        "that started the import (R35).",
    )
    dry_run: bool = Field(False, description="Make plan and report and apply nothing, ever (R35).")

    @property
    def mode_rules(self) -> ModeRules:
        """What the import mode does (R20)."""
        return MODES[self.import_mode]

    @property
    def stops_after_plan(self) -> bool:
        """Whether the import ends or waits with its plan, whatever that says (R35)."""
        return self.dry_run or self.approval is not ApprovalNeeded.NONE

    @property
    def update_rules(self) -> UpdateRules:
        """When the value of which field is written (R19)."""
        return UpdateRules.parse(self.update_rule)

    @field_validator("update_rule", mode="before")
    @classmethod
    def _check_update_rule(cls, value: object) -> object:
        texts = (value,) if isinstance(value, str) else value
        if isinstance(texts, (tuple, list)):
            UpdateRules.parse(tuple(map(str, texts)))
        return texts

    @field_validator("separator")
    @classmethod
    def _check_separator(cls, value: str | None) -> str | None:
        value = {"tab": "\t", "\\t": "\t", None: None}.get(value, value)
        if value is not None and value not in SEPARATORS:
            raise ValueError("expected one of , ; | tab")
        return value

    @field_validator("character_set")
    @classmethod
    def _check_character_set(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            "".encode(value)
        except LookupError:
            raise ValueError("expected the name of an encoding, like UTF-8, ISO-8859-15 or Windows-1252") from None
        return value

    @field_validator("identifier_pattern")
    @classmethod
    def _check_identifier_pattern(cls, value: str | None) -> str | None:
        if value is not None and value != ALPHANUMERIC:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"not a regular expression ({error})") from None
        return value

    @field_validator("max_rejected", "max_changed")
    @classmethod
    def _check_brake(cls, value: str | None) -> str | None:
        if value is not None:
            Brake.parse(value)
        return value


__all__ = [
    "ALPHANUMERIC",
    "SEPARATORS",
    "WHETHER_APPLIED",
    "ApprovalNeeded",
    "Brake",
    "Duplicates",
    "FileType",
    "ImportMode",
    "ImportOptions",
    "InvalidValues",
    "MangledIdentifiers",
]
