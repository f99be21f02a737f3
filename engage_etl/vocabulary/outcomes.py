"""What becomes of a row, and why."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """What became of a row; every row has exactly one."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    REJECTED = "rejected"


class Reason(StrEnum):
    """Why a row was skipped or rejected, in the order in which it is decided; the first that applies counts."""

    ROW_MALFORMED = "row_malformed"
    IDENTIFIER_MISSING = "identifier_missing"
    ADDRESS_MISSING = "address_missing"
    IDENTIFIER_MALFORMED = "identifier_malformed"
    IDENTIFIER_MANGLED = "identifier_mangled"
    ADDRESS_INVALID = "address_invalid"
    VALUE_INVALID = "value_invalid"
    SUPERSEDED = "superseded"
    DUPLICATE_IN_FILE = "duplicate_in_file"
    IDENTIFIER_AMBIGUOUS = "identifier_ambiguous"
    NO_STANDARD_IDENTIFIER = "no_standard_identifier"
    NOT_IN_MODE = "not_in_mode"
    UNSUBSCRIBED = "unsubscribed"
    DEACTIVATED = "deactivated"
    ADDRESS_REQUIRED = "address_required"
    ADDRESS_IN_USE = "address_in_use"
    ADDRESS_CLAIMED_TWICE = "address_claimed_twice"

    @property
    def outcome(self) -> Outcome:
        """The outcome that goes with this reason."""
        return Outcome.SKIPPED if self in _SKIPPED else Outcome.REJECTED


_SKIPPED = {
    Reason.SUPERSEDED,
    Reason.NO_STANDARD_IDENTIFIER,
    Reason.NOT_IN_MODE,
    Reason.UNSUBSCRIBED,
    Reason.DEACTIVATED,
}


class Status(StrEnum):
    """How far an import has come."""

    RECEIVED = "received"
    VALIDATED = "validated"
    PLANNED = "planned"
    WAITING_FOR_APPROVAL = "waiting_for_approval"
    STOPPED = "stopped"
    APPLIED = "applied"
    FAILED = "failed"
    REVERTED = "reverted"

    @property
    def is_final(self) -> bool:
        """Whether the import is frozen: re-running a stage reports what is recorded (R30)."""
        return self in (Status.APPLIED, Status.REVERTED)

    @property
    def has_ended(self) -> bool:
        """Whether the import has come to an end, so that there is something to report (R39)."""
        return self in (Status.APPLIED, Status.FAILED, Status.STOPPED, Status.REVERTED)


NOTIFIABLE = (Status.FAILED, Status.STOPPED, Status.WAITING_FOR_APPROVAL, Status.APPLIED)
"""The statuses of an import that people can be told of, the worst first."""
