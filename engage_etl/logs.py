"""The log of what imports do: one line per step, on standard error, for people or for machines; without personal data (R41)."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from engage_etl.settings import LogFormat

if TYPE_CHECKING:
    from structlog.typing import Processor

    from engage_etl.store.engine import Store
    from engage_etl.store.imports import Import

_MESSAGES = "engage_etl"
"""The logger above those of our modules: what people have to know meanwhile, which commands show in the terminal too."""
_STEPS = logging.getLogger("engage_steps")
"""Apart from it, so that the end of each step stands in the log only."""


@cache
def start_logging(log_format: LogFormat | None) -> None:
    """Write what our modules log to standard error, once per process; without a format nothing is written."""
    if log_format is None:
        return
    handler = log_handler(log_format)
    for logger in (logging.getLogger(_MESSAGES), _STEPS):
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)


def log_handler(log_format: LogFormat | None) -> logging.Handler:
    """What writes records to standard error, each a line or an object; without a format their messages alone."""
    handler = logging.StreamHandler()
    if log_format is not None:
        handler.setFormatter(_formatter(log_format))
    return handler


def _formatter(log_format: LogFormat) -> logging.Formatter:
    import structlog

    common: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    is_json = log_format is LogFormat.JSON
    last: Processor = structlog.processors.JSONRenderer() if is_json else structlog.dev.ConsoleRenderer(colors=False)
    renderers: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if is_json:
        renderers.append(structlog.processors.dict_tracebacks)
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=common, processors=[*renderers, last])


@contextmanager
def logged_step(store: Store, import_id: str, step: str) -> Iterator[None]:
    """Log what a step of an import did when it ends: rows and seconds, or the sentence that ended it."""
    from engage_etl.errors import EngageError
    from engage_etl.store.imports import load_import

    if not _STEPS.isEnabledFor(logging.INFO):
        yield
        return
    begun = time.monotonic()
    try:
        yield
    except EngageError as error:
        _STEPS.error("%s", error, extra=_facts(load_import(store.engine, import_id), step, begun))
        raise
    entry = load_import(store.engine, import_id)
    _STEPS.info("%s of %s is done", step, entry.file, extra=_facts(entry, step, begun))


def _facts(entry: Import, step: str, begun: float) -> dict[str, object]:
    """What stands beside the sentence of a line. seconds: of the step; rows: of the file, as far as they are known."""
    facts: dict[str, object] = {
        "import_id": entry.import_id,
        "automation": entry.automation,
        "step": step,
        "seconds": round(time.monotonic() - begun, 3),
        "rows": entry.rows,
        "status": entry.status.value,
    }
    return facts | ({"outcomes": entry.outcome_counts()} if entry.planned_at else {})
