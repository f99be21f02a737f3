"""Check in further processes, while this one goes on: Python runs on one core otherwise.

Where a file can be divided, all of them, this one too, read and check ranges of it; the chunks of others are checked by one
while this process reads. A further process is this module, run; questions and answers go over a socket that it inherits,
pickled and whole: one call of the system for each. A pipe takes 64 KiB at a time, and a thread that has to ask for the
interpreter after each piece, while another one reads the file, waits longer than the checking takes. It ends when the
socket does, so that it does not outlive a process that was killed.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any, Protocol

from engage_etl.errors import FileError
from engage_etl.validated_rows.checking import Checked

_UNDER_WAY = 2
"""Questions that each process has."""
_LENGTH = struct.Struct("!Q")


class Check(Protocol):
    """What a process does, once or more often: it is pickled, as are questions and answers."""

    def __call__(self, question: Any, /) -> Iterable[Checked]:
        """What became of the chunks of a question."""
        ...


def checked_beside(check: Check, questions: Iterable[object]) -> Iterator[Checked]:
    """What became of the chunks of all questions, in their order, checked by one process that ends with the iterator.

    Raises:
        FileError: as ``check``; the first one.
        ChildProcessError: the process has ended.
    """
    under_way: deque[Future[list[Checked]]] = deque()
    with CheckingProcess(check) as process:
        for question in questions:
            under_way.append(process.ask(question))
            if len(under_way) > _UNDER_WAY:
                yield from under_way.popleft().result()
        while under_way:
            yield from under_way.popleft().result()


def checked_by_all(check: Check, questions: Iterable[object], processes: int) -> Iterator[Checked]:
    """As ``checked_beside``, but with so many processes, one of which is this one: it checks when the others are busy.

    Each process has libraries of its own in memory, and one that only waited for the others would have them in vain.
    """
    under_way: deque[Future[list[Checked]]] = deque()
    with ExitStack() as stack:
        others = [stack.enter_context(CheckingProcess(check)) for _ in range(processes - 1)]
        for question in questions:
            idle = next((other for other in others if other.takes_more), None)
            under_way.append(_checked_here(check, question) if idle is None else idle.ask(question))
            while under_way and (under_way[0].done() or len(under_way) > 2 * _UNDER_WAY * processes):
                yield from under_way.popleft().result()
        while under_way:
            yield from under_way.popleft().result()


def _checked_here(check: Check, question: object) -> Future[list[Checked]]:
    """What became of the chunks of a question; a file error comes in its turn."""
    answer: Future[list[Checked]] = Future()
    try:
        answer.set_result(list(check(question)))
    except FileError as error:
        answer.set_exception(error)
    return answer


class CheckingProcess:
    """A process that checks, from the beginning of the block to its end."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._asked: list[Future[list[Checked]]] = []

    def __enter__(self) -> CheckingProcess:
        self._channel, theirs = socket.socketpair()
        with theirs:
            # In a session of its own: Ctrl-C ends us, and then it ends by itself, without a word.
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                env=os.environ | _import_path(),
            )
        # One sends while the other waits for an answer: the process has the next chunk when it is done with one.
        self._sending, self._receiving = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._sending.submit(_send, self._channel, self._check)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._sending.shutdown()
        self._receiving.shutdown()
        self._channel.close()

    def ask(self, question: object) -> Future[list[Checked]]:
        """What will have become of the chunks of a question; raises FileError as the check, ChildProcessError at its end."""
        answer = self._receiving.submit(self._answer, self._sending.submit(_send, self._channel, question))
        self._asked = [*(asked for asked in self._asked if not asked.done()), answer]
        return answer

    @property
    def takes_more(self) -> bool:
        """Whether it will soon have nothing to do."""
        return sum(not asked.done() for asked in self._asked) < _UNDER_WAY

    def _answer(self, sent: Future[None]) -> list[Checked]:
        try:
            sent.result()
            answer = _receive(self._channel)
        except (EOFError, ConnectionError):
            raise ChildProcessError(
                f"the process that checks rows has ended (exit code {self._process.wait()})"
            ) from None
        if isinstance(answer, list):
            return answer
        raise FileError(*answer)


def _send(channel: socket.socket, what: object) -> None:
    data = pickle.dumps(what, pickle.HIGHEST_PROTOCOL)
    channel.sendall(_LENGTH.pack(len(data)))
    channel.sendall(data)


def _receive(channel: socket.socket) -> Any:
    """What the other side has sent.

    Raises:
        EOFError: it has ended.
    """
    (length,) = _LENGTH.unpack(_bytes(channel, _LENGTH.size))
    return pickle.loads(_bytes(channel, length))


def _bytes(channel: socket.socket, length: int) -> bytearray:
    data = bytearray(length)
    view = memoryview(data)
    while view:
        received = channel.recv_into(view, len(view), socket.MSG_WAITALL)
        if not received:
            raise EOFError
        view = view[received:]
    return data


def _import_path() -> dict[str, str]:
    """Where the process finds this package, from wherever this one has it."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _serve(channel: socket.socket) -> None:
    """Answer what comes, until the other side has ended, which may be in the middle of a question or of its answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, ConnectionError):
        check: Check = _receive(channel)
        while True:
            _send(channel, _outcome(check, _receive(channel)))


def _outcome(check: Check, question: object) -> list[Checked] | tuple[object, str]:
    try:
        return list(check(question))
    except FileError as error:
        return error.code, str(error)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as inherited:
        _serve(inherited)
