"""Under which account the embedded server runs: PostgreSQL refuses to run as root."""

from __future__ import annotations

import os
import pwd
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engage_etl.errors import DataFolderUnusable, StoreUnavailable

_CANDIDATES = ("postgres", "nobody")
_ROOT = 0


def own_name() -> str:
    """The name of the account that we run under, as the server sees it.

    Raises:
        StoreUnavailable: the account has no name, and PostgreSQL asks for one.
    """
    # Not getpass.getuser(): it believes $LOGNAME and $USER, which `su` leaves as they were.
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise StoreUnavailable(
            f"The embedded PostgreSQL cannot run under the user id {os.geteuid()}, which has no name on this machine; "
            "give it one (an entry in /etc/passwd), or name a server in ENGAGE_DATABASE_URL."
        ) from None


@dataclass(frozen=True)
class ServerAccount:
    """The account of the server. name: OS user; is_other: another than ours, since we are root."""

    name: str
    uid: int
    gid: int
    is_other: bool

    @classmethod
    def choose(cls, home: Path | None = None) -> ServerAccount:
        """Our own account; for root that of the owner of an existing home, or else one without rights.

        Raises:
            StoreUnavailable: there is no such account on this machine.
        """
        if os.geteuid() != _ROOT:
            return cls(own_name(), os.geteuid(), os.getegid(), is_other=False)
        known = {entry.pw_name: entry for entry in pwd.getpwall()}
        owner = home.stat().st_uid if home is not None and home.exists() else _ROOT
        owners = [entry for entry in known.values() if entry.pw_uid == owner != _ROOT]
        entry = next(iter([*owners, *(known[name] for name in _CANDIDATES if name in known)]), None)
        if entry is None:
            raise StoreUnavailable(
                "PostgreSQL refuses to run as root, and this machine has no user `postgres` or `nobody`; "
                "create one, run Engage ETL as another user, or name a server in ENGAGE_DATABASE_URL."
            )
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid, is_other=True)

    def process_options(self) -> dict[str, Any]:
        """What ``subprocess`` needs to run a program under this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.is_other else {}

    def can_reach(self, path: Path) -> bool:
        """Whether the account may enter a folder or run a program, by the permissions of all on the way."""
        # Judged by permissions, not by a process under the account: forking is unsafe beside gRPC's threads.
        resolved = path.resolve()
        return all(self._may_enter(part) for part in (resolved, *resolved.parents))

    def _may_enter(self, path: Path) -> bool:
        state = path.stat()
        if state.st_uid == self.uid:
            return bool(state.st_mode & stat.S_IXUSR)
        if state.st_gid == self.gid:
            return bool(state.st_mode & stat.S_IXGRP)
        return bool(state.st_mode & stat.S_IXOTH)

    def make_private_folder(self, folder: Path) -> None:
        """Create a folder that only this account (and root) can enter; one that exists is never changed.

        Raises:
            DataFolderUnusable: its parent cannot be written.
        """
        if folder.exists():
            return
        try:
            # Renamed when it is ours already: a name in a shared place may be a link that somebody laid.
            aside = Path(tempfile.mkdtemp(prefix=".engage-", dir=folder.parent))
            if self.is_other:
                os.chown(aside, self.uid, self.gid, follow_symlinks=False)
        except OSError as error:
            raise DataFolderUnusable(
                f"The folder {folder} of the embedded PostgreSQL cannot be created ({error.strerror})."
            ) from None
        try:
            aside.rename(folder)
        except OSError:  # another process was faster
            with suppress(OSError):
                aside.rmdir()

    def demand_own(self, folder: Path) -> None:
        """A home that belongs to another account holds their database, or is not ours to use.

        Raises:
            DataFolderUnusable: the sentence says whose it is.
        """
        try:
            owner = folder.stat().st_uid
        except OSError as error:  # a link to a disk that is not there
            raise DataFolderUnusable(f"The database in {folder} cannot be read ({error.strerror}).") from None
        if owner == _ROOT:
            raise DataFolderUnusable(
                f"The folder {folder} belongs to root, and PostgreSQL refuses to run as root; "
                f"remove it if it is empty, or give it away: chown -R {self.name} {folder}"
            )
        if owner != self.uid:
            raise DataFolderUnusable(
                f"The database in {folder} belongs to {_name(owner)}, and {self.name!r} cannot run it; run Engage ETL "
                "as that user (or as root, where root made it), or name another data folder in ENGAGE_DATA_DIR."
            )

    def demand_private(self, folder: Path) -> None:
        """A folder in a shared place must be ours alone, or another user could stand in for the server.

        Raises:
            DataFolderUnusable: it is a link, or another account may enter it.
        """
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != self.uid or found.st_mode & 0o077:
            raise DataFolderUnusable(
                f"The folder {folder} for the sockets of the embedded PostgreSQL belongs to somebody else; remove it."
            )


def _name(uid: int) -> str:
    try:
        return f"the user {pwd.getpwuid(uid).pw_name!r}"
    except KeyError:
        return f"the user id {uid}"
