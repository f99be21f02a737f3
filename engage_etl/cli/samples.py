"""The sample files: in a checkout under ``data/samples``, in an installed package beside this module."""

from __future__ import annotations

from pathlib import Path

from engage_etl.errors import UsageError


def samples_folder() -> Path:
    """Where the samples are.

    Raises:
        UsageError: they were not installed.
    """
    here = Path(__file__).parent
    for folder in (here / "samples", here.parent.parent / "data" / "samples"):
        if folder.is_dir():
            return folder
    raise UsageError("The sample files are not there; install the package again.")
