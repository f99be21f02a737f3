"""How much memory a process and its children have resident, seen from outside."""

from __future__ import annotations

import os
import subprocess
import threading
from dataclasses import dataclass, field

import psutil

_INTERVAL = 0.1
_MB = 1_000_000


@dataclass
class MemoryWatch:
    """Looks at a process tree ten times a second. peak: bytes, all processes of the tree together.

    Pages that processes share count once for each of them, so that the figure is never too low.
    """

    pid: int
    peak: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> MemoryWatch:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_INTERVAL):
            try:
                tree = [root := psutil.Process(self.pid), *root.children(recursive=True)]
                self.peak = max(self.peak, sum(_resident(process) for process in tree))
            except psutil.NoSuchProcess:
                return


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def run_watched(command: list[str], environment: dict[str, str]) -> tuple[str, float]:
    """Run a command to its end; returns its standard output and its peak of resident memory in MB.

    Raises:
        subprocess.CalledProcessError: it failed; its standard error was passed on.
    """
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        with MemoryWatch(process.pid) as watch:
            printed = process.stdout.read()
            # The kernel knows the peak of the process itself exactly.
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command, printed)
    return printed, max(watch.peak, usage.ru_maxrss * 1024) / _MB
