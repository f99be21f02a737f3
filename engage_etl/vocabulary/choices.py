"""Options that are a choice among words; apart from the others, so that ``--help`` loads fast."""

from __future__ import annotations

from enum import StrEnum

DETECT = "detect"
"""What stands for an option that is to be found out from the file."""


class ImportMode(StrEnum):
    """What an import may do to members, contacts and new ones (R20)."""

    ADD = "add"
    ADD_CONTACTS_AS_MEMBERS = "add-contacts-as-members"
    UPDATE_CURRENT_MEMBERS = "update-current-members"
    ADD_AND_UPDATE = "add-and-update"
    REPLACE = "replace"
    REMOVE = "remove"


class FileType(StrEnum):
    """Types of files."""

    CSV = "csv"
    XML = "xml"
    TEXT = "text"


class Duplicates(StrEnum):
    """What becomes of several rows with one match key (R10)."""

    LAST = "last"
    REJECT = "reject"


class MangledIdentifiers(StrEnum):
    """What becomes of identifiers like ``1.23E+11`` (R15)."""

    REJECT = "reject"
    ACCEPT = "accept"


class InvalidValues(StrEnum):
    """What becomes of a value that does not fit, unless it is an address or the identifier (R18)."""

    REJECT = "reject"
    DROP = "drop"


class UpdateRule(StrEnum):
    """When a value of a row is written (R19)."""

    IF_NEW_NOT_BLANK = "if-new-not-blank"
    ALWAYS = "always"
    IF_STORED_BLANK = "if-stored-blank"


class ApprovalNeeded(StrEnum):
    """Who has to approve a plan before it is applied (R35)."""

    NONE = "none"
    REQUIRED = "required"
    SECOND_PERSON = "second-person"
