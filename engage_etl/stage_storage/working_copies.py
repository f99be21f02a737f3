"""Kept files in a bucket: a stage works on copies in a private folder of its machine, and hands over what it has made.

The folder is made when the first copy is needed and goes with the process that made it. One that was killed leaves it
behind; the next process that makes one for this data folder takes it away.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

from engage_etl.errors import SecretsUnusable, SourceUnavailable
from engage_etl.secrets_file import secrets_of
from engage_etl.settings import Settings
from engage_etl.stage_storage.here import files_in, take_away
from engage_etl.stage_storage.kept_files import ARRIVALS, IMPORTS, REPORTS
from engage_etl.vocabulary.locations import RemoteLocation

if TYPE_CHECKING:
    from engage_etl.stage_storage.objects import KeptObjects

WORK = "work"
"""Folder of the data folder with the private folders of processes."""
_PREFIX, _LOCK = "copies-", ".lock"


@dataclass
class WorkingCopies:
    """A bucket, and the copies that this process has of what is in it.

    _same: tag and SHA-256 of the objects that the copies are the same as, by key; where a copy was changed since, its
    SHA-256 is another.
    """

    settings: Settings
    place: RemoteLocation
    is_shared: bool = True
    _folder: Path | None = None
    _held: int | None = None
    _bucket: KeptObjects | None = None
    _same: dict[str, tuple[str, str]] = field(default_factory=dict)
    _at_a_time: RLock = field(default_factory=RLock)

    @property
    def root(self) -> Path:
        """The private folder of this process."""
        with self._at_a_time:
            if self._folder is None:
                self._folder, self._held = _make_private_folder(self.settings.root / WORK)
            return self._folder

    def shown(self, path: Path) -> str:
        """The address of the object."""
        return str(self._location(path))

    def fetched(self, path: Path) -> Path:
        """Copy what other processes have made; a copy that is the same already is left alone."""
        with self._at_a_time:
            found = self._objects().list_below(self._location(path))
            for key, (tag, _) in found.items():
                copy = self._path(key)
                known = self._same.get(key)
                if known is None or known[0] != tag or not copy.exists():
                    self._same[key] = (tag, self._objects().get(self._location(copy), copy))
            for gone in [key for key in self._keys_below(path) if key not in found]:
                self._path(gone).unlink(missing_ok=True)
                del self._same[gone]
        return path

    def publish(self, *paths: Path) -> None:
        """Put what this process has made or changed, and delete what it has taken away."""
        with self._at_a_time:
            if len(paths) > 1:
                self._delete(self._location(paths[-1]))
            for path in paths:
                self._publish(path)

    def take_in(self, file: Path, path: Path) -> None:
        """Sent from where it is."""
        with self._at_a_time:
            self._objects().put(file, self._location(path))

    def size_of(self, path: Path) -> tuple[int, int]:
        """As the bucket lists it."""
        sizes = [size for _, size in self._objects().list_below(self._location(path)).values()]
        return len(sizes), sum(sizes)

    def remove(self, path: Path) -> None:
        """The copy first, then the objects."""
        with self._at_a_time:
            take_away(path)
            self._delete(self._location(path))

    def release(self, import_id: str) -> None:
        """Take away the copies of one import."""
        with self._at_a_time:
            for name in (IMPORTS, REPORTS, ARRIVALS):
                if self._folder is not None:
                    folder = self._folder / name / import_id
                    for key in self._keys_below(folder):
                        del self._same[key]
                    take_away(folder)

    def close(self) -> None:
        """Take away the private folder."""
        with self._at_a_time:
            if self._folder is not None and self._held is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                os.close(self._held)
            self._folder, self._held, self._same = None, None, {}
            if self._bucket is not None:
                self._bucket.close()
                self._bucket = None

    def _publish(self, path: Path) -> None:
        from engage_etl.stage_storage.objects import digest_of

        before = self._objects().list_below(self._location(path))
        keys = {self._location(file).path: file for file in files_in(path)}
        for key, file in keys.items():
            digest = digest_of(file)
            if self._same.get(key) != (before.get(key, ("",))[0], digest):
                self._same[key] = (self._objects().put(file, self._location(file)), digest)
        for key in before.keys() - keys.keys():
            self._objects().delete(key)
            self._same.pop(key, None)

    def _delete(self, place: RemoteLocation) -> None:
        for key in self._objects().list_below(place):
            self._objects().delete(key)
            self._same.pop(key, None)

    def _keys_below(self, path: Path) -> list[str]:
        key = self._location(path).path
        return [one for one in self._same if one == key or one.startswith(f"{key}/")]

    def _location(self, path: Path) -> RemoteLocation:
        return self.place / path.relative_to(self.root).as_posix()

    def _path(self, key: str) -> Path:
        return self.root / key.removeprefix(f"{self.place.path}/" if self.place.path else "")

    def _objects(self) -> KeptObjects:
        from engage_etl.stage_storage.objects import KeptObjects

        if self._bucket is None:
            address = self.place.address
            try:
                self._bucket = KeptObjects(address, secrets_of(self.settings, address), self.settings)
            except SecretsUnusable as error:
                raise SourceUnavailable(f"{address}: {error}") from None
        return self._bucket


def _make_private_folder(above: Path) -> tuple[Path, int]:
    """A new folder, and a lock on it that the system gives up when this process ends, however it ends."""
    above.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(above):
        sweep(above)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=above))
        held = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(held, fcntl.LOCK_EX)
    return folder, held


def sweep(above: Path) -> None:
    """Take away the folders of processes that have ended without doing so."""
    for folder in above.glob(f"{_PREFIX}*"):
        try:
            held = os.open(folder / _LOCK, os.O_RDWR)
        except FileNotFoundError:  # it was killed before it had the lock, or takes its folder away just now
            shutil.rmtree(folder, ignore_errors=True)
            continue
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass  # its process is at work
        finally:
            os.close(held)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    held = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)
