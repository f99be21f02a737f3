"""What the event log says about a run that failed: our sentence, where Dagster names the step and the place in the code.

The web UI shows the message of the run's failure on the page of the run and in the list of runs. Dagster composes it as
``Execution of run for "import_contacts" failed. Steps failed: ['raw_file'].``, and below it a stack that leads to the line
where the sentence was raised. Neither tells people what to do, so that both are replaced when the events are stored; only
where a stage has a sentence: what nobody foresaw keeps its stack.
"""

from __future__ import annotations

from typing import Any

from dagster import DagsterEventType, EventLogEntry
from dagster._core.events import DagsterEvent
from dagster_shared.error import SerializableErrorInfo

_FAILURE = "Failure"


def with_our_sentence(entry: EventLogEntry) -> EventLogEntry:
    """The entry as it is stored: the failure of a step or a run with our sentence, if there is one; others as they are."""
    event = entry.dagster_event
    if event is None:
        return entry
    if event.event_type is DagsterEventType.STEP_FAILURE:
        return entry._replace(dagster_event=_step(event))
    if event.event_type is DagsterEventType.RUN_FAILURE:
        return _run(entry, event)
    return entry


def _run(entry: EventLogEntry, event: DagsterEvent) -> EventLogEntry:
    data: Any = event.event_specific_data
    failed = data.first_step_failure_event if data is not None else None
    sentence = _sentence(failed) if failed is not None else None
    if failed is None or sentence is None:
        return entry
    # Without an error of its own: the page would show the sentence twice.
    data = data._replace(error=None, first_step_failure_event=_step(failed))
    return entry._replace(
        user_message=sentence, dagster_event=event._replace(message=sentence, event_specific_data=data)
    )


def _step(event: DagsterEvent) -> DagsterEvent:
    sentence = _sentence(event)
    if sentence is None:
        return event
    data: Any = event.event_specific_data
    return event._replace(event_specific_data=data._replace(error=_error(sentence)))


def _sentence(event: DagsterEvent) -> str | None:
    failure = event.step_failure_data.user_failure_data
    return failure.description if failure is not None else None


def _error(sentence: str) -> SerializableErrorInfo:
    return SerializableErrorInfo(message=sentence, stack=[], cls_name=_FAILURE)
