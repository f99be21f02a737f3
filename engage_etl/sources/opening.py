"""The sources that one piece of work asks: each address is opened once, and given up once it has not answered."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any

from engage_etl.errors import SecretsUnusable, SourceRefused, SourceUnavailable
from engage_etl.secrets_file import secrets_of
from engage_etl.settings import Settings
from engage_etl.sources.local import LocalFiles
from engage_etl.sources.storage import Storage
from engage_etl.vocabulary.locations import Location, RemoteLocation


class Sources:
    """Opens storages where they are needed, and closes them all at the end.

    given_up: sentences by address; these are not asked; patience: seconds after which none elsewhere is asked any more.
    """

    def __init__(
        self, settings: Settings, given_up: Mapping[str, str] | None = None, patience: float | None = None
    ) -> None:
        self.given_up: dict[str, str] = dict(given_up or {})
        self._until = None if patience is None else time.monotonic() + patience
        self._settings = settings
        self._opened: dict[str, Storage[Any]] = {}
        self._lock = Lock()

    def __enter__(self) -> Sources:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for storage in self._opened.values():
            with suppress(OSError):
                storage.close()
        self._opened.clear()

    def at(self, location: Location) -> Storage[Any]:
        """The storage of a location.

        Raises:
            SourceUnavailable: it does not answer, now or when it was asked before.
            SourceRefused: too much time has gone already.
        """
        if isinstance(location, Path):
            return LocalFiles()
        if location.address in self.given_up:
            raise SourceUnavailable(self.given_up[location.address])
        if self._until is not None and time.monotonic() >= self._until:
            raise SourceRefused(f"{location.address} has to wait, as other sources took long; it is asked again soon.")
        if location.address not in self._opened:
            opened = self._open(location)
            with self._lock:
                self._opened[location.address] = opened
        return self._opened[location.address]

    def give_up(self, location: Location, why: SourceUnavailable) -> None:
        """Ask this address no more."""
        if isinstance(location, RemoteLocation):
            self.given_up[location.address] = str(why)

    def _open(self, location: RemoteLocation) -> Storage[Any]:
        from engage_etl.sources.s3 import S3Files
        from engage_etl.sources.sftp import SftpFiles

        try:
            secrets = secrets_of(self._settings, location.address)
        except SecretsUnusable as error:
            raise SourceUnavailable(f"{location.address}: {error}") from None
        if location.scheme == "s3":
            return S3Files(location.address, secrets, self._settings)
        return SftpFiles(location.address, secrets, self._settings)
