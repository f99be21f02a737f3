"""Stages of imports in processes that are struck: forked from one that has everything loaded and nothing open.

A process of its own for each would take seconds to load. Run as a module it is that process: it takes orders on standard
input, one JSON object a line, and answers each on standard output.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import pandera.strategies.pandas_strategies  # noqa: F401 - loaded at the first check otherwise, in each child
import psutil
from sqlalchemy import event

from engage_etl.settings import Settings
from engage_etl.stage_run import import_stage
from engage_etl.store.cluster import locate_cluster
from engage_etl.store.engine import Store, open_store
from engage_etl.validated_rows import stage_writer
from engage_etl_tests.importing import STAGES

NAMES = tuple(stage.__name__ for stage in STAGES)
"""The four stages, in order; to the last one belongs what follows the commit, as in the asset."""

_SET_CHILD_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of <sys/prctl.h>
_LONGEST = 150.0
"""Seconds in which a child has to end, and what it started after it."""


@dataclass(frozen=True)
class Order:
    """Stages to run, and when to strike: ``kill -9`` of their process, or ``pg_ctl stop -m immediate`` of a server.

    after: seconds since they began; before: the statement or commit, counted from 1; server: data folder of the embedded
    server to stop, None to kill the process.
    """

    settings: dict[str, Any]
    import_id: str
    stages: tuple[str, ...] = NAMES
    after: float | None = None
    before: int | None = None
    server: str | None = None


@dataclass(frozen=True)
class Ending:
    """How an order ended.

    is_struck: before the stages had ended; seconds: since they began; peak: kibibytes of resident memory of the process, of
    which some were there before they began; statements: how many were sent, commits: which of
    them are commits, error: traceback, all three of a process that was not killed; left: command lines of processes that
    outlived theirs.
    """

    is_struck: bool
    seconds: float
    peak: int
    statements: int
    commits: list[int]
    error: str | None
    left: list[str]


class Forking:
    """The process that forks."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, settings: Settings, import_id: str, stages: tuple[str, ...] = NAMES, **strike: Any) -> Ending:
        """Run stages to their end, or to that of their process. strike: as in ``Order``."""
        assert self._process.stdin is not None and self._process.stdout is not None
        order = Order(settings.model_dump(mode="json"), import_id, stages, **strike)
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process that forks has ended"
        return Ending(**json.loads(answer))

    def run_whole(self, settings: Settings, import_id: str, stages: tuple[str, ...] = NAMES) -> Ending:
        """Run stages to their end."""
        ending = self.run(settings, import_id, stages)
        assert ending.error is None, ending.error
        assert ending.left == []
        return ending


@contextmanager
def forking(rows_of_a_group: int = stage_writer.ROWS_OF_A_GROUP) -> Iterator[Forking]:
    """Start the process that forks; it ends with the block. rows_of_a_group: of the stage files that it writes."""
    with subprocess.Popen(
        [sys.executable, "-m", __name__, str(rows_of_a_group)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Threads of a numeric library do not go along with a fork.
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    ) as process:
        yield Forking(process)
        assert process.stdin is not None
        process.stdin.close()


def _carry_out(order: Order) -> Ending:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _be_the_child(order, writing)
    os.close(writing)
    with os.fdopen(reading) as told:
        told.readline()
        began = time.monotonic()
        is_struck, status, peak = _wait(child, order)
        seconds = time.monotonic() - began
        left = outliving(child, psutil.Process().children(recursive=True))
        said = json.loads(told.readline() or "{}")
    if os.WIFSIGNALED(status):
        is_struck, error = is_struck or order.before is not None, None
        if os.WTERMSIG(status) != signal.SIGKILL or order.server is not None:
            error = f"ended by signal {os.WTERMSIG(status)}"
    else:
        is_struck, error = is_struck or said.get("is_struck", False), said.get("error", "ended without a word")
    return Ending(is_struck, seconds, peak, said.get("statements", 0), said.get("commits", []), error, left)


def _wait(child: int, order: Order) -> tuple[bool, int, int]:
    """Strike when the time has come, and wait for the end of the child; returns whether, its status and its peak."""
    now = time.monotonic()
    strike_at, give_up_at = now + (order.after if order.after is not None else _LONGEST), now + _LONGEST
    is_struck = False
    while True:
        ended, status, used = os.wait4(child, os.WNOHANG)
        if ended:
            return is_struck, status, used.ru_maxrss
        now = time.monotonic()
        if now >= strike_at and not is_struck:
            is_struck = True
            _strike(order, child)
        if now >= give_up_at:
            os.kill(child, signal.SIGABRT)
        time.sleep(0.0005)


def _strike(order: Order, process: int) -> None:
    if order.server is None:
        os.kill(process, signal.SIGKILL)
        return
    cluster = locate_cluster(Path(order.server))
    stopped = cluster.run("pg_ctl", "stop", "-D", cluster.folder, "-m", "immediate")
    assert stopped.returncode == 0, stopped.stderr


def outliving(session: int, others: list[psutil.Process]) -> list[str]:
    """Command lines of processes that do not end by themselves, now that the one which began their session is gone.

    others: started by it, whatever session they are in.
    """
    _, alive = psutil.wait_procs({*others, *_members(session)}, timeout=_LONGEST)
    found = []
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            found.append(" ".join(process.cmdline()))
            process.kill()
    return found


def _members(session: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _inherit_processes() -> None:
    """Become the parent of what killed children leave behind, as only Linux lets a process do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _be_the_child(order: Order, writing: int) -> None:
    """Run the stages and never return."""
    os.setsid()  # whoever it starts can be found by the session, whatever becomes of the parent
    counting, error = _Counting(order), None
    with os.fdopen(writing, "w") as telling:
        try:
            with open_store(Settings(**order.settings)) as store:
                telling.write("begins\n")
                telling.flush()
                event.listen(store.engine, "before_cursor_execute", counting.statement)
                event.listen(store.engine, "commit", counting.commit)
                _run(store, order)
        except BaseException:  # noqa: BLE001 - told to the parent
            error = traceback.format_exc()
        telling.write(json.dumps({"error": error} | counting.counted()) + "\n")
    os._exit(0)


def _run(store: Store, order: Order) -> None:
    """Run stages as the assets do."""
    for stage in STAGES:
        if stage.__name__ in order.stages:
            with import_stage(store, order.import_id):
                stage(store, order.import_id)  # type: ignore[operator]


class _Counting:
    """Counts statements and commits, and strikes before the one that was ordered."""

    def __init__(self, order: Order) -> None:
        self._order, self._sent, self._is_struck = order, 0, False
        self._commits: list[int] = []

    def statement(self, *_: object) -> None:
        self._sent += 1
        if self._sent == self._order.before:
            self._is_struck = True
            _strike(self._order, os.getpid())

    def commit(self, *_: object) -> None:
        self._commits.append(self._sent + 1)
        self.statement()

    def counted(self) -> dict[str, Any]:
        return {"statements": self._sent, "commits": self._commits, "is_struck": self._is_struck}


def _serve(orders: IO[str], answers: IO[str]) -> None:
    for line in orders:
        answers.write(json.dumps(asdict(_carry_out(Order(**json.loads(line))))) + "\n")
        answers.flush()


if __name__ == "__main__":
    # What children print must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    stage_writer.ROWS_OF_A_GROUP = int(sys.argv[1])
    _inherit_processes()
    _serve(sys.stdin, answers)
