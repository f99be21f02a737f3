"""``engage-etl up``: the web server and the daemon, started and ended together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from engage_etl.errors import UsageError
from engage_etl.marts.project import prepare_manifest
from engage_etl.settings import Settings
from engage_etl.store.engine import open_store
from engage_etl.triggers.automations import load_automations
from engage_etl.triggers.instance import environment, open_instance

_CODE = ["-m", "engage_etl.definitions"]
_PAUSE = 0.2
_MAY_TAKE_TO_END = 15.0
_MAY_TAKE_TO_ANSWER = 120.0


def run_service(settings: Settings, *, host: str, port: int, say: Callable[[str], None]) -> int:
    """Run web server and daemon until a signal ends them, or one of them ends by itself.

    say: told what people should know.

    Returns:
        0 after a signal, 1 if one of the two ended by itself.

    Raises:
        UsageError: the port is taken.
        StoreError: the store cannot be opened.
    """
    _demand_free_port(host, port)
    open_store(settings).dispose()
    open_instance(settings).dispose()
    prepare_manifest(settings)
    _prepare_folders(settings, say)
    stop = _StopSignal()
    processes = _start(settings, host, port)
    try:
        has_answered = _wait_for_answer(f"http://{host}:{port}/server_info", processes, stop)
        if not stop.is_set and _all_alive(processes):
            if not has_answered:
                say(f"The web server has not answered within {_MAY_TAKE_TO_ANSWER:g} seconds; it may still come.")
            say(f"Web UI: http://{host}:{port}   Drop folders: {settings.drop_dir}   End with Ctrl-C.")
        while not stop.is_set and _all_alive(processes):
            time.sleep(_PAUSE)
    finally:
        failed = [name for name, process in processes.items() if process.poll() is not None]
        _end(processes)
    if stop.is_set:
        return 0
    say(f"The {' and the '.join(failed)} ended by itself; its messages stand above.")
    return 1


class _StopSignal:
    """Whether an end was asked for: by Ctrl-C, by a termination, or by the terminal that was closed."""

    def __init__(self) -> None:
        self.is_set = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._set)

    def _set(self, _: int, __: FrameType | None) -> None:
        self.is_set = True


def _start(settings: Settings, host: str, port: int) -> dict[str, subprocess.Popen[bytes]]:
    given = (
        os.environ
        | environment(settings)
        | {
            "PYTHONUNBUFFERED": "1",
            # What we fork execs at once; without this gRPC writes a line about it each time.
            "GRPC_ENABLE_FORK_SUPPORT": "false",
        }
    )
    web = ["-m", "dagster_webserver", *_CODE, "-h", host, "-p", str(port), "--dagster-log-level", "warning"]
    web += ["--code-server-log-level", "warning"]
    daemon = ["-m", "dagster._daemon", "run", *_CODE, "--log-level", "warning"]
    # Sessions of their own: Ctrl-C reaches us, and we end both with all that they started.
    return {
        name: subprocess.Popen(
            [sys.executable, *arguments], env=given, start_new_session=True, stdin=subprocess.DEVNULL
        )
        for name, arguments in (("web server", web), ("daemon", daemon))
    }


def _end(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    """End both politely, then what is left of their sessions for certain."""
    for process in processes.values():
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + _MAY_TAKE_TO_END
    for process in processes.values():
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.1, deadline - time.monotonic()))
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for_answer(url: str, processes: dict[str, subprocess.Popen[bytes]], stop: _StopSignal) -> bool:
    """Wait until the web server answers; False if it does not in time, or there is no reason to wait any more."""
    deadline = time.monotonic() + _MAY_TAKE_TO_ANSWER
    while not stop.is_set and _all_alive(processes) and time.monotonic() < deadline:
        with suppress(OSError, urllib.error.URLError), urllib.request.urlopen(url, timeout=5):
            return True
        time.sleep(_PAUSE)
    return False


def _all_alive(processes: dict[str, subprocess.Popen[bytes]]) -> bool:
    return all(process.poll() is None for process in processes.values())


def _demand_free_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UsageError(
                f"{host}:{port} cannot be used ({error.strerror}); name another port with --port."
            ) from None


def _prepare_folders(settings: Settings, say: Callable[[str], None]) -> None:
    settings.drop_dir.mkdir(parents=True, exist_ok=True)
    automations, errors = load_automations(settings.automations_file, settings.root)
    for automation in automations:
        automation.source.mkdir(parents=True, exist_ok=True)
    for error in errors:
        say(f"Automation left out: {error}")
    if not automations:
        say(f"There is no automation yet; describe one in {settings.automations_file} (see docs/guide.md).")
