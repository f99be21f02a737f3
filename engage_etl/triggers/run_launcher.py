"""How ``engage-etl up`` starts the process of a run: it asks the run server for one that has everything loaded."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket

from dagster import DagsterRun
from dagster._core.launcher import DefaultRunLauncher, LaunchRunContext
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import serialize_value

from engage_etl.triggers.runs import PROCESS, is_process_here, launcher_tags, process_of

RUN_SERVER = "ENGAGE_RUN_SERVER"
"""Variable that names the socket of the run server; ``engage-etl up`` sets it for its daemon."""
_LONGEST_ANSWER = 60.0
"""Seconds; the server answers after it has loaded everything, and ``up`` may have started just now."""

_log = logging.getLogger(__name__)


class EngageRunLauncher(DefaultRunLauncher):
    """Starts runs at the run server; without one, as under plain ``dagster dev``, in Dagster's own way.

    Dagster's own launcher starts a Python that loads everything anew for each run, which takes longer than to import a
    small file.
    """

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the process of a run."""
        address = os.environ.get(RUN_SERVER)
        # First of all: a run that starts can be found dead from here on (``end_dead_runs``).
        self._instance.add_run_tags(context.dagster_run.run_id, launcher_tags())
        if address is None or not self._is_started_at(address, context):
            super().launch_run(context)

    def terminate(self, run_id: str) -> bool:
        """End a run as Ctrl-C would; False if there is no process to end."""
        run = self._instance.get_run_by_id(run_id) if self.has_instance else None
        if run is None or run.is_finished or PROCESS not in run.tags:
            return bool(super().terminate(run_id))
        self._instance.report_run_canceling(run)
        process = process_of(run.tags[PROCESS])
        if process is None:
            self._report_unreachable(run)
            return False
        process.send_signal(signal.SIGINT)
        return True

    def _is_started_at(self, address: str, context: LaunchRunContext) -> bool:
        run = context.dagster_run
        assert context.job_code_origin is not None
        arguments = serialize_value(ExecuteRunArgs(context.job_code_origin, run.run_id, self._instance.get_ref()))
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_LONGEST_ANSWER)
                connection.connect(address)
                with connection.makefile("rw", encoding="utf-8") as lines:
                    process = lines.readline().strip()
                    if not process:
                        return False
                    # The tag comes before the run begins: a run that has begun can always be found dead.
                    self._instance.add_run_tags(run.run_id, {PROCESS: process})
                    lines.write(json.dumps(["api", "execute_run", arguments]) + "\n")
        except OSError as error:
            _log.warning("The run server does not answer (%s); the run starts more slowly.", error)
            return False
        return True

    def _report_unreachable(self, run: DagsterRun) -> None:
        where = "has ended" if is_process_here(run.tags[PROCESS]) else "is on another machine"
        self._instance.report_engine_event(f"The process of the run {where}.", run, cls=type(self))
