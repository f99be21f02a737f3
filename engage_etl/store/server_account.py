"""Under which account the embedded server runs: PostgreSQL refuses to run as root."""

from __future__ import annotations

import getpass
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True)
class ServerAccount:
    """The account of the server. name: OS user; is_other: another than ours, since we are root."""

    name: str
    uid: int
    gid: int
    is_other: bool

    @classmethod
    def choose(cls) -> ServerAccount:
        """Our own account, or for root one without rights."""
        if os.geteuid() != 0:
            return cls(getpass.getuser(), os.geteuid(), os.getegid(), is_other=False)
        known = {entry.pw_name: entry for entry in pwd.getpwall()}
        entry = next(known[name] for name in _CANDIDATES if name in known)
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid, is_other=True)

    def process_options(self) -> dict[str, Any]:
        """What ``subprocess`` needs to run a program under this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.is_other else {}

    def can_reach(self, folder: Path) -> bool:
        """Whether the account may enter a folder, by the permissions of all folders on the way."""
        # Judged by permissions, not by a process under the account: forking is unsafe beside gRPC's threads.
        resolved = folder.resolve()
        return all(self._may_enter(part) for part in (resolved, *resolved.parents))

    def _may_enter(self, folder: Path) -> bool:
        state = folder.stat()
        if state.st_uid == self.uid:
            return bool(state.st_mode & stat.S_IXUSR)
        if state.st_gid == self.gid:
            return bool(state.st_mode & stat.S_IXGRP)
        return bool(state.st_mode & stat.S_IXOTH)

    def make_private_folder(self, folder: Path) -> None:
        """Create a folder that only this account (and root) can enter; parents are made, never changed."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        if self.is_other:
            os.chown(folder, self.uid, self.gid)
