"""Dagster's instance of an installation: its folder and its configuration."""

from __future__ import annotations

import os
import tempfile
from io import StringIO
from pathlib import Path
from typing import Any, cast

import dagster as dg
from ruamel.yaml import YAML

from engage_etl.errors import DataFolderUnusable
from engage_etl.settings import Settings
from engage_etl.triggers.run_launcher import EngageRunLauncher
from engage_etl.triggers.run_output import UncapturedOutput
from engage_etl.triggers.run_queue import PromptRunQueue
from engage_etl.triggers.storage import EngageStorage


def prepare_instance(settings: Settings) -> Path:
    """Write ``dagster.yaml`` where it is missing or other than it should be; returns DAGSTER_HOME.

    Raises:
        DataFolderUnusable: it cannot be written.
    """
    home = settings.dagster_home
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_where_other(home / "dagster.yaml", _as_yaml(_configuration(settings)))
    except OSError as error:
        raise DataFolderUnusable(
            f"The folder {home} cannot be written ({error.strerror}); give it to this account, or set ENGAGE_DATA_DIR."
        ) from None
    return home


def environment(settings: Settings) -> dict[str, str]:
    """The variables with which plain Dagster commands work on this installation."""
    given = {
        "DAGSTER_HOME": str(settings.dagster_home),
        "ENGAGE_DATA_DIR": str(settings.root),
        "ENGAGE_DAGSTER_DATABASE": settings.dagster_database,
    }
    if settings.database_url is not None:
        given["ENGAGE_DATABASE_URL"] = settings.database_url
    return given


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The instance of an installation; its server is started if need be."""
    home = prepare_instance(settings)
    os.environ.update(environment(settings))
    return dg.DagsterInstance.from_config(str(home))


def _write_where_other(file: Path, wanted: str) -> None:
    """Write aside and rename, so that a process that reads it at the same time reads a whole file."""
    if file.exists() and file.read_text() == wanted:
        return
    descriptor, aside = tempfile.mkstemp(dir=file.parent)
    with os.fdopen(descriptor, "w") as writing:
        writing.write(wanted)
    Path(aside).replace(file)


def _configuration(settings: Settings) -> dict[str, Any]:
    return {
        "storage": {
            "custom": {
                "module": EngageStorage.__module__,
                "class": EngageStorage.__name__,
                "config": {"data_dir": str(settings.root)},
            }
        },
        "concurrency": {
            "runs": {
                # One more, for the dbt models and the housekeeping: they take no import's place and wait for none.
                "max_concurrent_runs": settings.concurrent_runs + 1,
                # Imports of one automation are planned and applied one at a time, others beside them (R40).
                "tag_concurrency_limits": [
                    {"key": "automation", "value": {"applyLimitPerUniqueValue": True}, "limit": 1},
                    {"key": "file", "limit": settings.concurrent_runs},
                ],
            }
        },
        "compute_logs": {
            "module": UncapturedOutput.__module__,
            "class": UncapturedOutput.__name__,
            "config": {"base_dir": str(settings.dagster_home / "storage")},
        },
        "run_launcher": {"module": EngageRunLauncher.__module__, "class": EngageRunLauncher.__name__},
        "run_coordinator": {"module": PromptRunQueue.__module__, "class": PromptRunQueue.__name__},
        # Runs that are dead are found sooner, by our sensor (``end_dead_runs``); the run server may take long to load.
        "run_monitoring": {"enabled": True, "poll_interval_seconds": 10, "start_timeout_seconds": 120},
        # A tick of a schedule that fails, as without a database, is tried again each minute.
        "scheduler": {
            "module": "dagster._core.scheduler",
            "class": "DagsterDaemonScheduler",
            "config": {"max_tick_retries": settings.connection_retries},
        },
        "retention": {"sensor": {"purge_after_days": {"skipped": 1, "failure": 7, "success": 30}}},
        # What our modules tell people during a run, as that it waits for others, stands in its event log.
        "python_logs": {"python_log_level": "WARNING", "managed_python_loggers": ["engage_etl"]},
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},  # no invitation to a newsletter
    }


def _as_yaml(configuration: dict[str, Any]) -> str:
    text = StringIO()
    cast(Any, YAML()).dump(configuration, text)
    return "# Written by engage-etl at every start; changes made here are lost.\n" + text.getvalue()
