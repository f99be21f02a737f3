"""What people are told about imports by mail or chat: plain texts without personal data (R41)."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from engage_etl.reports.next_steps import next_step
from engage_etl.store.imports import Import
from engage_etl.vocabulary.counting import counted
from engage_etl.vocabulary.outcomes import NOTIFIABLE, Status
from engage_etl.vocabulary.visible_text import visible

_SHOWN = 20
"""Imports that a message describes; the others are counted."""
_LONGEST_SENTENCE = 600
_PROGRAM = "Engage ETL"


class Severity(StrEnum):
    """How bad it is, in the words of Apprise: services show it as a colour or a sign."""

    FAILURE = "failure"
    WARNING = "warning"
    INFO = "info"
    SUCCESS = "success"


@dataclass(frozen=True)
class NotificationText:
    """A message. subject: one line; body: plain text."""

    subject: str
    body: str
    severity: Severity


@dataclass(frozen=True)
class Told:
    """An import that people are told of, and the address at which the web page shows it."""

    entry: Import
    link: str


_SEVERITIES = {
    Status.FAILED: Severity.FAILURE,
    Status.STOPPED: Severity.WARNING,
    Status.WAITING_FOR_APPROVAL: Severity.INFO,
    Status.APPLIED: Severity.SUCCESS,
}
_WORDS = {
    Status.FAILED: "failed",
    Status.STOPPED: "stopped",
    Status.WAITING_FOR_APPROVAL: "waiting for approval",
    Status.APPLIED: "applied",
}


def partition_link(web_url: str, entry: Import, *, is_kept: bool) -> str:
    """Where the web page shows an import: its partition of the asset where it ended or waits.

    is_kept: whether the bytes of the file are archived, so that the stage ``raw_file`` is done.
    """
    return f"{web_url.rstrip('/')}/assets/{_stage(entry, is_kept)}?view=partitions&partition={entry.import_id}"


def _stage(entry: Import, is_kept: bool) -> str:
    if entry.status in (Status.STOPPED, Status.WAITING_FOR_APPROVAL):
        return "match_plan"
    if entry.status is Status.APPLIED or entry.planned_at:
        return "applied_updates"
    if entry.validated_at:
        return "match_plan"
    return "validated_rows" if is_kept else "raw_file"


def trial_text() -> NotificationText:
    """The message of ``engage-etl notifications test``."""
    return NotificationText(
        f"{_PROGRAM}: test message",
        "This is a test. Notifications of imports will arrive here.",
        Severity.INFO,
    )


def notification_text(told: Sequence[Told]) -> NotificationText:
    """One message about one import or several, those first that need somebody.

    Raises:
        ValueError: there is no import to tell of.
    """
    if not told:
        raise ValueError("a message tells of at least one import")
    ordered = sorted(told, key=lambda one: NOTIFIABLE.index(one.entry.status))
    severity = _SEVERITIES[ordered[0].entry.status]
    if len(ordered) == 1:
        entry = ordered[0].entry
        return NotificationText(f"{_PROGRAM}: {_name(entry)} {_is(entry)}", _one(ordered[0]), severity)
    return NotificationText(f"{_PROGRAM}: {_tally(ordered)}", _several(ordered), severity)


def _one(told: Told) -> str:
    entry = told.entry
    blocks = [
        [f"{_name(entry)} {_is(entry)}."],
        [*_sentence(entry)],
        [f"Group: {visible(entry.group_name)}", f"Automation: {entry.automation or 'none, imported by hand'}"],
        [*_figures(entry)],
        [_what_to_do(entry)],
        [f"Web page: {told.link}", *_report(entry), f"Import: {entry.import_id}"],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if any(block)) + "\n"


def _several(told: Sequence[Told]) -> str:
    described = ["\n".join(_brief(number, one)) for number, one in enumerate(told[:_SHOWN], 1)]
    rest = told[_SHOWN:]
    more = [f"And {_tally(rest)}; `engage-etl imports list` shows them."] if rest else []
    return "\n\n".join([f"{_tally(told)}.", *described, *more]) + "\n"


def _brief(number: int, told: Told) -> Iterator[str]:
    entry = told.entry
    automation = entry.automation or "by hand"
    yield f"{number}. {_name(entry)} ({automation}, group {visible(entry.group_name)}) {_is(entry)}."
    yield from _sentence(entry)
    yield from _figures(entry)
    if what := _what_to_do(entry):
        yield what
    yield told.link


def _name(entry: Import) -> str:
    return visible(entry.file)


def _is(entry: Import) -> str:
    """The status as the predicate of a sentence about the file."""
    return {
        Status.FAILED: "failed",
        Status.STOPPED: "was stopped",
        Status.WAITING_FOR_APPROVAL: "waits for approval",
    }.get(entry.status, "was applied")


def _tally(told: Sequence[Told]) -> str:
    """``3 imports: 2 failed, 1 applied``."""
    counts = Counter(one.entry.status for one in told)
    parts = ", ".join(f"{counts[status]:,} {_WORDS[status]}" for status in NOTIFIABLE if counts[status])
    return f"{len(told):,} {'import' if len(told) == 1 else 'imports'}: {parts}"


def _sentence(entry: Import) -> Iterator[str]:
    """What ended the import; values in it are masked already (R41)."""
    if entry.error_message:
        yield textwrap.shorten(visible(entry.error_message.splitlines()[0]), _LONGEST_SENTENCE, placeholder=" …")


def _figures(entry: Import) -> Iterator[str]:
    if entry.planned_at is None:
        return
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in entry.outcome_counts().items())
    yield f"{'Rows' if entry.status is Status.APPLIED else 'Rows by the plan'}: {entry.rows:,} ({counts})"
    if entry.reasons:
        reasons = sorted(entry.reasons.items(), key=lambda reason: (-reason[1], reason[0]))
        yield "Reasons: " + ", ".join(f"{reason} {count:,}" for reason, count in reasons)
    if entry.left_group:
        word = "Left the group" if entry.status is Status.APPLIED else "Would leave the group"
        yield f"{word}: {entry.left_group:,}"
    if entry.drifted:
        yield f"Drift: {counted(entry.drifted, 'row')} came out otherwise than planned first, as contacts had changed since"


def _what_to_do(entry: Import) -> str:
    step = next_step(entry)
    return f"What to do: {step[0].lower()}{step[1:]}" if step else ""


def _report(entry: Import) -> Iterator[str]:
    if entry.report:
        yield f"Report: {entry.report}, in the data folder"
