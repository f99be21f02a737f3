"""What Dagster prints of a run: what our own lines do not say, which is what nobody foresaw."""

from __future__ import annotations

import logging
from typing import Any

import dagster as dg
from dagster._core.log_manager import LOG_RECORD_EVENT_ATTR

from engage_etl.logs import log_handler
from engage_etl.settings import load_settings

SILENT: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run configuration with which a run prints nothing: on a terminal our sentence does."""
_DAGSTERS = "dagster_"
"""How the names of what Dagster adds to a record begin."""
PRINTING: dict[str, Any] = {"loggers": {"console": {}}}
"""Run configuration with which a run prints by this logger; without it Dagster takes its own, whatever a job says."""


@dg.logger(
    config_schema={
        "log_level": dg.Field(str, is_required=False, default_value="ERROR", description="Prints from this level on.")
    },
    description="Errors that nobody foresaw, as ENGAGE_LOG_FORMAT says. What ended a step otherwise is one line of our log.",
)
def console(context: dg.InitLoggerContext) -> logging.Logger:
    """The logger ``console`` of our jobs, in the place of Dagster's."""
    printing = logging.Logger("dagster", context.logger_config["log_level"])
    printing.addHandler(log_handler(load_settings().log_format))
    printing.addFilter(_is_unforeseen)
    return printing


def _is_unforeseen(record: logging.LogRecord) -> bool:
    """Whether a record tells of a failure without a sentence of ours; its objects are taken off, as nobody can print them."""
    event: Any = getattr(record, LOG_RECORD_EVENT_ATTR, None)
    for name in [name for name in vars(record) if name.startswith(_DAGSTERS)]:
        delattr(record, name)
    if event is None:
        return False
    if event.is_step_failure:
        return event.step_failure_data.user_failure_data is None
    return bool(event.is_failure and getattr(event.event_specific_data, "first_step_failure_event", None) is None)
