"""The process that has loaded everything that imports need, and forks a process of its own for each run.

``python -m engage_etl.triggers.run_server DESCRIPTOR`` serves the listening socket that it inherits. Whoever connects
is told by the new process which one it is (the tag ``process`` of the run), and then tells it which Dagster command to
execute; if nothing comes, it ends. The server itself opens no connection and starts no thread, so that forking is safe.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from engage_etl.loading import quick_loading

Handler = Callable[[int, FrameType | None], object] | signal.Handlers

_LOADED = (
    "dagster._cli",
    "engage_etl.definitions",
    "engage_etl.raw_file.stage",
    "engage_etl.validated_rows.stage",
    "engage_etl.match_plan.stage",
    "engage_etl.applied_updates.stage",
    "engage_etl.reports.samples",
    "engage_etl.stage_run",
    "engage_etl.triggers.instance",
    "engage_etl.triggers.runs",
    "charset_normalizer",
    "pandera.backends.pandas.register",
    "psycopg2.extras",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.postgresql.psycopg2",
)
"""Modules that a run needs, some of them loaded by others only where they use them."""


_NO_THREADS = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""What keeps NumPy and Arrow from starting threads when they are loaded: a process that forks should have none."""


def main() -> None:
    """Serve until SIGINT or SIGTERM; then wait until the runs at work have ended."""
    # While it loads there is nothing to see to, and what is loaded may turn an interrupt into an error of its own.
    _on_signals(signal.SIG_DFL)
    with quick_loading():
        load()
    with suppress(KeyboardInterrupt), socket.socket(fileno=int(sys.argv[1])) as listening:
        _on_signals(signal.default_int_handler)
        _serve(listening)
    _wait_for_runs()


def _on_signals(handler: Handler) -> None:
    """SIGINT too: a program that was started in the background of a shell inherits that it is ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def load() -> None:
    """Load what runs need, without a thread that would keep this process from forking safely."""
    os.environ.update(_NO_THREADS)
    for name in _LOADED:
        importlib.import_module(name)


def _serve(listening: socket.socket) -> None:
    # Processes that end are not waited for one by one.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        connection, _ = listening.accept()
        with connection:
            if os.fork() == 0:
                listening.close()
                _be_a_run(connection)


def _be_a_run(connection: socket.socket) -> None:
    """What the forked process does, which never returns to the server's code."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        code = _execute_what_is_asked(connection)
    except BaseException:  # noqa: BLE001 - nothing may pass into the loop of the server
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _execute_what_is_asked(connection: socket.socket) -> int:
    from dagster._cli import cli

    from engage_etl.triggers.runs import PROCESS, process_tags

    with connection, connection.makefile("rw", encoding="utf-8") as lines:
        lines.write(process_tags()[PROCESS] + "\n")
        lines.flush()
        asked = lines.readline()
    if not asked:
        return 0
    cli.main(json.loads(asked), prog_name="dagster", standalone_mode=False)
    return 0


def _wait_for_runs() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with suppress(ChildProcessError):
        while True:
            os.wait()


if __name__ == "__main__":
    main()
