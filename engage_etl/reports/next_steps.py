"""What people do next about an import that has ended or waits."""

from __future__ import annotations

from engage_etl.errors import FileErrorCode
from engage_etl.store.imports import Import
from engage_etl.vocabulary.outcomes import Status


def next_step(entry: Import) -> str:
    """What to do next; empty where there is nothing to do, or where the sentence that ended the import says it already."""
    if entry.status is Status.FAILED and entry.error_code in set(FileErrorCode):
        again = "drop the file again" if entry.automation else "import the file again"
        return f"Nothing was applied. Put right what is said above, then {again}."
    if entry.status is Status.WAITING_FOR_APPROVAL:
        approve = f"`engage-etl imports approve {entry.import_id}`"
        return f"Nothing is applied yet. Look at the plan, then apply it with {approve}."
    if entry.status is Status.APPLIED and entry.rejected:
        return "Correct rejected.csv in the report and import it."
    return ""
