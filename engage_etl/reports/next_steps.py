"""What people do next about an import that has ended or waits."""

from __future__ import annotations

from engage_etl.store.imports import Import
from engage_etl.vocabulary.outcomes import Status


def next_steps(entry: Import) -> list[str]:
    """Sentences, the most useful first; empty where there is nothing to do."""
    steps = list(_of_status(entry))
    if entry.rejected and entry.status is Status.APPLIED:
        steps.append("Correct the rows in rejected.csv, which lies beside this page, and import that file as it is.")
    return steps


def _of_status(entry: Import) -> list[str]:
    if entry.status is Status.FAILED:
        return ["Nothing was applied. Correct the file as the message says, and import it again."]
    if entry.status is Status.STOPPED:
        return [
            "Nothing was applied, since a brake stopped the import. Look at the rows below and in rejected.csv.",
            "Correct the file and import it again; or, if the file is right, allow more with max-rejected.",
        ]
    return []
