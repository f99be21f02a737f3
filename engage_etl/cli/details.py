"""Where the details of an error that nobody foresaw are kept: a log file that only its owner may read (R41)."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engage_etl.settings import Settings

_FOLDER = "log"


def keep_details(settings: Settings | None, details: str) -> Path:
    """Write details into a new file under ``log/`` in the data folder, or where temporary files go if it must be.

    settings: of the installation; None if they could not be read.

    Raises:
        OSError: neither place can be written.
    """
    if settings is not None:
        with suppress(OSError):  # the disk may be full
            folder = settings.root / _FOLDER
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return _write(folder, details)
    return _write(None, details)


def _write(folder: Path | None, details: str) -> Path:
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    descriptor, path = tempfile.mkstemp(prefix=f"engage-etl-{moment}-", suffix=".log", dir=folder)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(details)
    except OSError:
        Path(path).unlink()
        raise
    return Path(path)
