"""Check chunks in a second process, while this one reads on: Python runs on one core otherwise.

The process is this module, run; it reads pickles from its standard input and answers each on its standard output. It ends
when its input does, so that it does not outlive a process that was killed.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import IO

from engage_etl.errors import FileError
from engage_etl.validated_rows.checking import Checked, ChunkCheck, Unchecked

_CHUNKS_UNDER_WAY = 2


class CheckingProcess:
    """A process that checks chunks, from the beginning of the block to its end."""

    def __init__(self, check: ChunkCheck) -> None:
        self._check = check

    def __enter__(self) -> CheckingProcess:
        command = [sys.executable, "-m", __name__]
        # In a session of its own: Ctrl-C ends us, and then it ends by itself, without a word.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env=os.environ | _import_path(),
        )
        self._thread = ThreadPoolExecutor(1)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.shutdown()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def checked(self, chunks: Iterable[Unchecked]) -> Iterator[Checked]:
        """What became of the chunks, in their order.

        Raises:
            FileError: as ``ChunkCheck``.
            ChildProcessError: the process has ended.
        """
        under_way: deque[Future[Checked]] = deque()
        self._thread.submit(self._send, self._check)
        for chunk in chunks:
            under_way.append(self._thread.submit(self._exchange, chunk))
            if len(under_way) > _CHUNKS_UNDER_WAY:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()

    def _exchange(self, chunk: Unchecked) -> Checked:
        try:
            self._send(chunk)
            answer = pickle.load(_pipe(self._process.stdout))
        except (EOFError, BrokenPipeError):
            raise ChildProcessError(
                f"the process that checks rows has ended (exit code {self._process.wait()})"
            ) from None
        if isinstance(answer, Checked):
            return answer
        raise FileError(*answer)

    def _send(self, what: object) -> None:
        pipe = _pipe(self._process.stdin)
        pickle.dump(what, pipe, pickle.HIGHEST_PROTOCOL)
        pipe.flush()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _import_path() -> dict[str, str]:
    """Where the process finds this package, from wherever this one has it."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _serve() -> None:
    """Answer what comes on standard input, until it ends; what libraries print goes to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked = sys.stdin.buffer
    # Whoever asked may be killed at any moment: in the middle of a question, or before it hears the answer.
    with suppress(EOFError, pickle.UnpicklingError, BrokenPipeError), _answers() as answers:
        check: ChunkCheck = pickle.load(asked)
        while True:
            pickle.dump(_answer(check, pickle.load(asked)), answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()


def _answers() -> IO[bytes]:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def _answer(check: ChunkCheck, chunk: Unchecked) -> Checked | tuple[object, str]:
    try:
        return check(chunk)
    except FileError as error:
        return error.code, str(error)


if __name__ == "__main__":
    _serve()
