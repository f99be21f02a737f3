"""How much memory a process and its children have resident, seen from outside."""

from __future__ import annotations

import re
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_INTERVAL = 0.2
_MB = 1_000_000
_HIGHEST = re.compile(r"VmHWM:\s+(\d+) kB")


@dataclass
class MemoryWatch:
    """Looks at a process tree five times a second. peak: bytes, all processes of the tree together.

    Pages that processes share count once for each of them, so that the figure is never too low. The kernel's own figure
    for ended children would be no better: it begins with the memory of the process that started them.
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
            except psutil.NoSuchProcess:
                return
            self.peak = max(self.peak, sum(map(_resident, tree)), _highest(self.pid))


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _highest(pid: int) -> int:
    """The peak of one process so far, between two looks too; 0 where the system does not tell."""
    try:
        found = _HIGHEST.search(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def run_watched(command: list[str], environment: dict[str, str]) -> tuple[str, float]:
    """Run a command to its end; returns its standard output and its peak of resident memory in MB.

    Raises:
        subprocess.CalledProcessError: it failed; what it wrote to standard error was passed on.
    """
    with (
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process,
        MemoryWatch(process.pid) as watch,
    ):
        printed, _ = process.communicate()
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command, printed)
    return printed, watch.peak / _MB
