"""Every error that people meet, in one tree.

::

    EngageError                    a sentence: what is wrong, what was expected, what to do
    ├── UsageError                 the call is wrong (exit code 2)
    │   ├── ImportUnknown          no import with this id
    │   ├── GroupExists            a group with this name is already there
    │   ├── GroupUnknown           no group with this name, where a command asks for one
    │   ├── Removed                retention or an erasure took away what is asked for (R42)
    │   └── AutomationError        automations.yaml: file, line, key, nearest right spelling
    ├── StoreError                 the store cannot be used (exit code 1)
    │   ├── DataFolderUnusable     the data folder cannot be written
    │   ├── StoreUnavailable       the server does not start, does not answer, or gave up
    │   ├── DiskFull               there is no room, in the data folder or where the server writes
    │   ├── ServerTooOld           PostgreSQL older than 15
    │   └── SchemaMismatch         the schema is older or newer than the program
    ├── SourceUnavailable          a place that files come from does not answer, or lets nobody in
    │   └── SourceRefused          it answers, and refuses one thing
    ├── ImportBusy                 another process works on this import right now
    ├── SecretsUnusable            the secrets file cannot be used
    ├── NotificationNotSent        a service did not accept a message about imports (exit code 1)
    ├── ReportMissing              the import has ended, and its report could not be written (exit code 0 if applied)
    ├── PlanHeld                   the plan waits for a person (exit code 1)
    │   ├── BrakeStopped           a brake stopped it (R34)
    │   ├── ApprovalMissing        it needs an approval and has none (R35)
    │   ├── ApprovalRefused        who approves may not, or approves another plan (R35)
    │   └── PlanDrifted            it was approved, and would not come out as approved any more (R31)
    └── ImportEnded                the import ends without being applied (exit code 1)
        ├── FileError              the file is refused as a whole; has a code (R22-R27)
        │   └── HeaderError        the CSV header; has column and nearest (R23)
        └── PlanRejected           a person rejected the plan (R35)

The first line of ``str(error)`` is the sentence that people read, in the terminal, in the report and as the
failure message of the run.
"""

from __future__ import annotations

from enum import StrEnum


class EngageError(Exception):
    """Base of all errors with a sentence for people."""


class UsageError(EngageError):
    """The call is wrong; nothing was started."""


class ImportUnknown(UsageError):
    """No import has this id."""

    def __init__(self, import_id: str) -> None:
        self.import_id = import_id
        super().__init__(f"There is no import {import_id!r}; `engage-etl imports list` names those there are.")


class GroupExists(UsageError):
    """A group with this name (R22: regardless of case) is already there."""


class GroupUnknown(UsageError):
    """No group has the name that a command asks for; an import that names such a group ends by a FileError instead."""


class Removed(UsageError):
    """What is asked for was there and has been removed, by retention or because a person was erased (R42)."""


class AutomationError(UsageError):
    """An automation in automations.yaml cannot be used.

    file: the automations file; line: 1-based; key: the key at fault; nearest: the right spelling closest to it.
    """

    def __init__(
        self, message: str, *, file: str, line: int, key: str | None = None, nearest: str | None = None
    ) -> None:
        self.file, self.line, self.key, self.nearest = file, line, key, nearest
        hint = f" Did you mean {nearest!r}?" if nearest else ""
        super().__init__(f"{file}, line {line}: {message}{hint}")


class StoreError(EngageError):
    """The store cannot be used."""


class DataFolderUnusable(StoreError):
    """The data folder cannot be created or written."""


class StoreUnavailable(StoreError):
    """The PostgreSQL server does not start or does not answer.

    is_passing: whether the connection was lost or could not be made, so that the same may work in a moment.
    """

    def __init__(self, message: str, *, is_passing: bool = False) -> None:
        self.is_passing = is_passing
        super().__init__(message)


class DiskFull(StoreError):
    """There is no room on the disk of the data folder, or on that of the server."""


class ServerTooOld(StoreError):
    """The PostgreSQL server is older than version 15."""


class SchemaMismatch(StoreError):
    """The schema of the store is not the one that this program works with."""


class SourceUnavailable(EngageError):
    """A place that files come from does not answer, or lets nobody in; it is asked again later.

    is_passing: whether the connection was lost or could not be made, so that the same may work in a moment.
    """

    def __init__(self, message: str, *, is_passing: bool = False) -> None:
        self.is_passing = is_passing
        super().__init__(message)


class SourceRefused(SourceUnavailable):
    """A place that files come from answers, and refuses one thing; others may work."""


class SecretsUnusable(EngageError):
    """The secrets file is missing, wrong, or can be read by others."""


class ImportBusy(EngageError):
    """Another process works on a stage of this import right now."""

    def __init__(self, import_id: str) -> None:
        self.import_id = import_id
        super().__init__(f"Import {import_id} is being worked on by another process; wait until that has ended.")


class NotificationNotSent(EngageError):
    """A service did not accept a message about imports, or its address cannot be used; the sentence holds no secret."""


class ReportMissing(EngageError):
    """The report of an import that has ended could not be written; the import stays as it ended (R39)."""


class ImportEnded(EngageError):
    """The import ends without being applied."""


class FileErrorCode(StrEnum):
    """Codes of file errors, as in the public interface."""

    HEADER_INVALID = "header_invalid"
    FILE_EMPTY = "file_empty"
    ENCODING_INVALID = "encoding_invalid"
    XML_INVALID = "xml_invalid"
    CSV_INVALID = "csv_invalid"
    ARCHIVE_INVALID = "archive_invalid"
    TOO_LARGE = "too_large"
    GROUP_UNKNOWN = "group_unknown"
    FILE_TYPE_UNKNOWN = "file_type_unknown"
    FILE_MISSING = "file_missing"
    DECRYPTION_FAILED = "decryption_failed"


class FileError(ImportEnded):
    """The file is refused as a whole; nothing of it is imported."""

    def __init__(self, code: FileErrorCode, message: str) -> None:
        self.code = code
        super().__init__(message)


class HeaderError(FileError):
    """The header of a CSV file is wrong (R23).

    column: the header cell at fault, as it stands in the file; nearest: the known header closest to it.
    """

    def __init__(self, message: str, *, column: str | None = None, nearest: str | None = None) -> None:
        self.column, self.nearest = column, nearest
        hint = f" Did you mean {nearest!r}?" if nearest else ""
        super().__init__(FileErrorCode.HEADER_INVALID, message + hint)


class PlanRejected(ImportEnded):
    """A person rejected the plan of the import; nothing was applied (R35)."""


class PlanHeld(EngageError):
    """The plan of an import is not applied until a person says so; the import does not end by that."""


class BrakeStopped(PlanHeld):
    """A brake stopped the import after its plan, and nobody has approved that plan (R34)."""


class ApprovalMissing(PlanHeld):
    """The plan needs an approval before it is applied, and has none (R35)."""


class ApprovalRefused(PlanHeld):
    """Who approves is the one that started the import, or approves another plan than the one there is (R35)."""


class PlanDrifted(PlanHeld):
    """The approved plan would come out otherwise now: contacts were changed since it was made (R31).

    rows: how many rows differ.
    """

    def __init__(self, message: str, *, rows: int) -> None:
        self.rows = rows
        super().__init__(message)
