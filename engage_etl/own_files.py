"""Files that the program writes: who may read them (R41), and that they survive a power cut."""

from __future__ import annotations

import os
from pathlib import Path

_NOBODY_ELSE = 0o077


def keep_files_private() -> None:
    """Let files of this process and of those that it starts be 0600, and folders 0700, whoever writes them.

    Dagster and dbt write some too. What is to be open to others has its mode set.
    """
    os.umask(_NOBODY_ELSE)


def sync_folder(folder: Path) -> None:
    """See to it that the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
