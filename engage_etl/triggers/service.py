"""``engage-etl up``: web server, daemon, code server and run server, started and ended together."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from engage_etl.errors import EngageError, UsageError
from engage_etl.marts.project import prepare_manifest
from engage_etl.settings import Executor, LogFormat, Settings
from engage_etl.store.engine import open_store
from engage_etl.triggers.automations import load_automations
from engage_etl.triggers.code_server import ScheduleWatch, code_server_command, is_serving, write_workspace
from engage_etl.triggers.destinations import destinations
from engage_etl.triggers.executors import demand_what_celery_needs
from engage_etl.triggers.instance import environment, open_instance
from engage_etl.triggers.run_launcher import RUN_SERVER

CODE_SERVER, RUNS, WORKSPACE = "code", "runs", "workspace.yaml"
"""Names in the private folder of a running service."""
_PAUSE = 0.2
_MAY_TAKE_TO_END = 15.0
_MAY_TAKE_TO_ANSWER = 120.0
_OPEN_TO_OTHERS = (
    "WARNING: the web UI listens on {host} and has no passwords: whoever reaches this machine can look at all imports, and "
    "start, stop and approve them. Leave --host out, and let people in by a reverse proxy that asks who they are: "
    "docs/security.md, A reverse proxy."
)


@dataclass(frozen=True)
class WebAddress:
    """Where the web UI listens. viewers_port: of a second one, for looking only; None: there is none."""

    host: str = "127.0.0.1"
    port: int = 3000
    viewers_port: int | None = None

    @property
    def urls(self) -> list[str]:
        """Address of the web UI, and that for viewers where there is one."""
        return [f"http://{self.host}:{port}" for port in (self.port, self.viewers_port) if port is not None]

    @property
    def is_private(self) -> bool:
        """Whether only programs of this machine reach it."""
        with suppress(ValueError):
            return ipaddress.ip_address(self.host).is_loopback
        return self.host == "localhost"


def run_service(settings: Settings, web: WebAddress, *, say: Callable[[str], None]) -> int:
    """Run web server, daemon, code server and run server until a signal ends them, or one of them ends by itself.

    say: told what people should know.

    Returns:
        0 after a signal, 1 if one of them ended by itself.

    Raises:
        UsageError: the port is taken.
        StoreError: the store cannot be opened.
    """
    _demand_free_ports(web)
    if not web.is_private:
        say(_OPEN_TO_OTHERS.format(host=web.host))
    if settings.executor is Executor.CELERY:
        demand_what_celery_needs(settings)
    open_store(settings).dispose()
    open_instance(settings).dispose()
    prepare_manifest(settings)
    _prepare_folders(settings, say)
    check_notifications(settings, say)
    stop = _StopSignal()
    ready = f"Web UI: {'   For viewers: '.join(web.urls)}   Drop folders: {settings.drop_dir}   End with Ctrl-C."
    with tempfile.TemporaryDirectory(prefix="engage-etl-") as folder:
        sockets = Path(folder)
        watch = ScheduleWatch(settings, sockets / CODE_SERVER, say)
        given = _environment(settings, web)
        processes = _start_servers(given, sockets)
        try:
            _wait_for(lambda: is_serving(sockets / CODE_SERVER), "The code server", processes, stop, say)
            if not stop.is_set and _all_alive(processes):
                processes |= _start_clients(given, web, sockets)
            _wait_for(lambda: all(map(_answers, web.urls)), "The web server", processes, stop, say)
            watch.start()
            if not stop.is_set and _all_alive(processes):
                say(ready)
            while not stop.is_set and _all_alive(processes):
                time.sleep(_PAUSE)
        finally:
            watch.stop()
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


def _environment(settings: Settings, web: WebAddress) -> dict[str, str]:
    return (
        {"ENGAGE_WEB_URL": web.urls[0]}  # unless it is said that people reach it elsewhere
        | os.environ
        | environment(settings)
        | {
            "PYTHONUNBUFFERED": "1",
            "ENGAGE_LOG_FORMAT": settings.log_format or LogFormat.TEXT,
            # What we fork execs at once; without this gRPC writes a line about it each time.
            "GRPC_ENABLE_FORK_SUPPORT": "false",
        }
    )


def _start_servers(given: dict[str, str], sockets: Path) -> dict[str, subprocess.Popen[bytes]]:
    """What web server and daemon rely on. given: the environment."""
    write_workspace(sockets / WORKSPACE, sockets / CODE_SERVER)
    with socket.socket(socket.AF_UNIX) as listening:
        # Bound here, so that the daemon can ask for runs while the run server is still loading.
        listening.bind(str(sockets / RUNS))
        listening.listen()
        runs = ["-m", "engage_etl.triggers.run_server", str(listening.fileno())]
        return {
            "run server": _process(runs, given, (listening.fileno(),)),
            "code server": _process(code_server_command(sockets / CODE_SERVER), given),
        }


def _start_clients(given: dict[str, str], web: WebAddress, sockets: Path) -> dict[str, subprocess.Popen[bytes]]:
    workspace = ["-w", str(sockets / WORKSPACE)]
    daemon = ["-m", "dagster._daemon", "run", *workspace, "--log-level", "warning"]
    processes = {
        "web server": _web_server(given, workspace, web.host, web.port),
        "daemon": _process(daemon, given | {RUN_SERVER: str(sockets / RUNS)}),
    }
    if web.viewers_port is not None:
        processes["web server for viewers"] = _web_server(
            given, [*workspace, "--read-only"], web.host, web.viewers_port
        )
    return processes


def _web_server(given: dict[str, str], more: list[str], host: str, port: int) -> subprocess.Popen[bytes]:
    listening = ["-h", host, "-p", str(port), "--dagster-log-level", "warning"]
    return _process(["-m", "engage_etl.triggers.web_server", *more, *listening], given)


def _process(
    arguments: list[str], environment: dict[str, str], inherited: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    """A Python process in a session of its own: Ctrl-C reaches us, and we end it with all that it started."""
    command = [sys.executable, *arguments]
    return subprocess.Popen(
        command, env=environment, pass_fds=inherited, start_new_session=True, stdin=subprocess.DEVNULL
    )


def _end(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    """End them politely, then what is left of their sessions for certain."""
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


def _wait_for(
    is_there: Callable[[], bool],
    what: str,
    processes: dict[str, subprocess.Popen[bytes]],
    stop: _StopSignal,
    say: Callable[[str], None],
) -> None:
    """Wait until something is there, or is not in time, or there is no reason to wait any more."""
    deadline = time.monotonic() + _MAY_TAKE_TO_ANSWER
    while not stop.is_set and _all_alive(processes):
        if is_there():
            return
        if time.monotonic() > deadline:
            say(f"{what} has not answered within {_MAY_TAKE_TO_ANSWER:g} seconds; it may still come.")
            return
        time.sleep(_PAUSE)


def _answers(url: str) -> bool:
    with suppress(OSError, urllib.error.URLError), urllib.request.urlopen(f"{url}/server_info", timeout=5):
        return True
    return False


def _all_alive(processes: dict[str, subprocess.Popen[bytes]]) -> bool:
    return all(process.poll() is None for process in processes.values())


def _demand_free_ports(web: WebAddress) -> None:
    if web.viewers_port == web.port:
        raise UsageError(f"--port and --viewers-port are both {web.port}; name two.")
    _demand_free_port(web.host, web.port, "--port")
    if web.viewers_port is not None:
        _demand_free_port(web.host, web.viewers_port, "--viewers-port")


def _demand_free_port(host: str, port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UsageError(
                f"{host}:{port} cannot be used ({error.strerror}); name another port with {option}."
            ) from None


def check_notifications(settings: Settings, say: Callable[[str], None]) -> None:
    """Say what is wrong with the addresses of those who are to be told of imports; the rest goes on."""
    try:
        destinations(settings)
    except EngageError as error:
        say(f"Nobody is told of imports: {error}")


def _prepare_folders(settings: Settings, say: Callable[[str], None]) -> None:
    settings.drop_dir.mkdir(parents=True, exist_ok=True)
    automations, errors = load_automations(settings.automations_file, settings.root)
    for automation in automations:
        if isinstance(automation.source, Path):
            automation.source.mkdir(parents=True, exist_ok=True)
    for error in errors:
        say(f"Automation left out: {error}")
    if not automations:
        say(f"There is no automation yet; describe one in {settings.automations_file} (see docs/automations.md).")
