"""The bytes of a file elsewhere as a stream, of which only a block is held at a time."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, BinaryIO


class _RemoteBytes(io.RawIOBase):
    def __init__(self, size: int, read_at: Callable[[int, int], bytes], on_close: Callable[[], None]) -> None:
        self._size, self._read_at, self._on_close, self._position = size, read_at, on_close, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError("a position before the beginning")  # as other files do, for zipfile
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        room = memoryview(buffer)
        wanted = min(len(room), self._size - self._position)
        if wanted <= 0:
            return 0
        found = self._read_at(self._position, wanted)
        room[: len(found)] = found
        self._position += len(found)
        return len(found)

    def close(self) -> None:
        if not self.closed:
            self._on_close()
        super().close()


def remote_bytes(
    size: int, read_at: Callable[[int, int], bytes], block: int, on_close: Callable[[], None] = lambda: None
) -> BinaryIO:
    """A stream over a file of ``size`` bytes, of which ``read_at`` gets so many from a position on.

    block: bytes asked for at a time; they stay in memory until the next.
    """
    return io.BufferedReader(_RemoteBytes(size, read_at, on_close), block)
