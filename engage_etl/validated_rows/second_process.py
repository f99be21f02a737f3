"""Check chunks in a second process, while this one reads on: Python runs on one core otherwise.

The process is this module, run; chunks and answers go over a socket that it inherits, pickled and whole: one call of the
system for each. A pipe takes 64 KiB at a time, and a thread that has to ask for the interpreter after each piece, while
another one reads the file, waits longer than the checking takes. It ends when the socket does, so that it does not
outlive a process that was killed.
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
from contextlib import suppress
from typing import Any

from engage_etl.errors import FileError
from engage_etl.validated_rows.checking import Checked, ChunkCheck, Unchecked

_CHUNKS_UNDER_WAY = 2
_LENGTH = struct.Struct("!Q")


class CheckingProcess:
    """A process that checks chunks, from the beginning of the block to its end."""

    def __init__(self, check: ChunkCheck) -> None:
        self._check = check

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
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._sending.shutdown()
        self._receiving.shutdown()
        self._channel.close()

    def checked(self, chunks: Iterable[Unchecked]) -> Iterator[Checked]:
        """What became of the chunks, in their order.

        Raises:
            FileError: as ``ChunkCheck``.
            ChildProcessError: the process has ended.
        """
        under_way: deque[Future[Checked]] = deque()
        self._sending.submit(_send, self._channel, self._check)
        for chunk in chunks:
            sent = self._sending.submit(_send, self._channel, chunk)
            under_way.append(self._receiving.submit(self._answer, sent))
            if len(under_way) > _CHUNKS_UNDER_WAY:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()

    def _answer(self, sent: Future[None]) -> Checked:
        try:
            sent.result()
            answer = _receive(self._channel)
        except (EOFError, ConnectionError):
            raise ChildProcessError(
                f"the process that checks rows has ended (exit code {self._process.wait()})"
            ) from None
        if isinstance(answer, Checked):
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
        check: ChunkCheck = _receive(channel)
        while True:
            _send(channel, _outcome(check, _receive(channel)))


def _outcome(check: ChunkCheck, chunk: Unchecked) -> Checked | tuple[object, str]:
    try:
        return check(chunk)
    except FileError as error:
        return error.code, str(error)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as inherited:
        _serve(inherited)
