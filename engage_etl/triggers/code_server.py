"""The code server of ``engage-etl up``: it holds the definitions, for web server and daemon alike.

Both look once a second whether it has loaded them anew (Dagster's watch threads), so that one request makes schedules
come, change and go everywhere. Without it each of them starts a code server of its own: the web server's would be loaded
anew when somebody presses a button, the daemon's once a minute, whether anything has changed or not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any, cast

from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._grpc.client import DagsterGrpcClient
from ruamel.yaml import YAML

from engage_etl.settings import Settings
from engage_etl.triggers.automations import Automation, load_automations
from engage_etl.vocabulary.counting import counted

_MODULE = "engage_etl.definitions"
_LOOKS_EVERY = 1.0
_MAY_TAKE_TO_LOAD = 120
"""Seconds, on a slow machine."""


def code_server_command(address: Path) -> list[str]:
    """Arguments for Python with which the server serves a socket."""
    return [
        *("-m", "dagster", "code-server", "start", "-m", _MODULE, "--location-name", _MODULE),
        *("--socket", str(address), "--use-python-environment-entry-point", "--log-level", "warning"),
    ]


def write_workspace(file: Path, address: Path) -> None:
    """Write the workspace in which web server and daemon find the definitions."""
    server = {"host": "localhost", "socket": str(address), "location_name": _MODULE}
    text = StringIO()
    cast(Any, YAML()).dump({"load_from": [{"grpc_server": server}]}, text)
    file.write_text(text.getvalue())


def is_serving(address: Path) -> bool:
    """Whether the server answers, which it does once the definitions are loaded."""
    if not address.exists():
        return False
    try:
        _client(address).ping("")
    except DagsterUserCodeUnreachableError:
        return False
    return True


class ScheduleWatch:
    """Looks at ``automations.yaml`` once a second, and has the definitions loaded anew if a schedule in it has changed.

    The sensor reads the file at each of its looks, so that the other automations need no more.
    """

    def __init__(self, settings: Settings, address: Path, say: Callable[[str], None]) -> None:
        self._settings, self._address, self._say = settings, address, say
        self._seen = self._told = self._look()
        self._loaded = _scheduled(self._seen[0])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="automations", daemon=True)

    def start(self) -> None:
        """Begin to look, once the server serves what the file said when this was made."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; a request under way is not waited for."""
        self._stop.set()

    def _watch(self) -> None:
        while not self._stop.wait(_LOOKS_EVERY):
            self.look()

    def look(self) -> None:
        """Take up what has changed and holds for two looks: a file that is being written is not what it will be.

        What cannot be done is tried again at the next look.
        """
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            return
        automations, errors = seen
        if seen != self._told:
            self._told = seen
            self._say(f"{self._settings.automations_file.name} has changed; {_counted(automations)}.")
            for error in errors:
                self._say(f"Automation left out: {error}")
        # Of a file of which nothing can be read, nothing is taken up.
        if _scheduled(automations) == self._loaded or (errors and not automations):
            return
        if self._is_loaded_anew():
            self._loaded = _scheduled(automations)

    def _look(self) -> tuple[list[Automation], list[str]]:
        automations, errors = load_automations(self._settings.automations_file, self._settings.root)
        return automations, [str(error) for error in errors]

    def _is_loaded_anew(self) -> bool:
        started = time.monotonic()
        try:
            _client(self._address).reload_code(timeout=_MAY_TAKE_TO_LOAD)
        except DagsterUserCodeUnreachableError as error:
            self._say(f"The schedules are not taken up yet ({error}); this is tried again.")
            return False
        self._say(f"Schedules taken up after {time.monotonic() - started:.1f} s.")
        return True


def _client(address: Path) -> DagsterGrpcClient:
    return DagsterGrpcClient(socket=str(address))


def _scheduled(automations: list[Automation]) -> list[Automation]:
    return [automation for automation in automations if automation.is_scheduled]


def _counted(automations: list[Automation]) -> str:
    scheduled = len(_scheduled(automations))
    return f"{counted(len(automations), 'automation')} right, {scheduled} with a schedule"
