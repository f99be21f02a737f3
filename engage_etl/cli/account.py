"""Who gives a command: as they say, or as the operating system knows them."""

from __future__ import annotations

import getpass
import os

from engage_etl.errors import UsageError


def stated_name(by: str | None) -> str:
    """The name that ``--by`` states; without it that of the account, or its number where it has none, as in a container.

    Raises:
        UsageError: the name is blank or cannot be shown.
    """
    if by is not None:
        if not by.strip() or not by.isprintable():
            raise UsageError(f"--by {by!r} names nobody; give a name, or leave --by out.")
        return by.strip()
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
