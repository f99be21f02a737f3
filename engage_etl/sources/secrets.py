"""The secrets file: what opens the sources and the encrypted files, by address; for its owner's eyes only.

::

    s3://bucket:
      access-key-id: ...
      secret-access-key: ...
    sftp://user@host:
      private-key: /etc/engage/id_ed25519
    pgp:
      passphrase: ...

No error repeats anything but the names of sections and keys that are right.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engage_etl.errors import SecretsUnusable
from engage_etl.settings import Settings
from engage_etl.vocabulary.locations import RemoteLocation, source_location

PGP = "pgp"
_KEYS = {
    "s3": ("access-key-id", "secret-access-key", "session-token", "endpoint-url", "region"),
    "sftp": ("private-key", "passphrase", "password", "known-hosts"),
    PGP: ("passphrase",),
}


def secrets_of(settings: Settings, section: str) -> Mapping[str, str]:
    """The secrets of one section, by key; none without a secrets file, or if it does not name the section.

    section: the address of a source, like ``sftp://user@host``, or ``pgp``.

    Raises:
        SecretsUnusable: the file cannot be used; the sentence says why.
    """
    if settings.secrets_file is None:
        return {}
    path = settings.secrets_file.expanduser()
    sections = _parse(path, _read_private(path))
    return sections.get(section, {})


def _read_private(path: Path) -> str:
    """The text of a file that nobody but its owner, who runs this program, can read."""
    try:
        with path.open(encoding="utf-8") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise SecretsUnusable(f"The secrets file {path} is no regular file; name one in ENGAGE_SECRETS_FILE.")
            if found.st_uid not in (os.geteuid(), 0) or stat.S_IMODE(found.st_mode) & 0o077:
                raise SecretsUnusable(
                    f"The secrets file {path} can be read by others than its owner; run `chmod 600` on it and give it to "
                    "the account that runs engage-etl."
                )
            return file.read()
    except OSError as error:
        raise SecretsUnusable(
            f"The secrets file {path} cannot be read ({error.strerror}); check ENGAGE_SECRETS_FILE."
        ) from None
    except UnicodeDecodeError:
        raise SecretsUnusable(f"The secrets file {path} is no UTF-8; save it as UTF-8.") from None


def _parse(path: Path, text: str) -> dict[str, dict[str, str]]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        found = YAML(typ="base", pure=True).load(text)  # every scalar a text
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SecretsUnusable(f"The secrets file {path} is no YAML; look at line {line}.") from None
    except YAMLError:
        raise SecretsUnusable(f"The secrets file {path} is no YAML.") from None
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(section, dict) for section in found.values()):
        raise SecretsUnusable(
            f"The secrets file {path} is not as expected: addresses like sftp://user@host, and keys below each."
        )
    return {_name(path, number, str(name)): _section(path, number, str(name), found[name])
            for number, name in enumerate(found, 1)}  # fmt: skip


def _name(path: Path, number: int, name: str) -> str:
    """The name of a section in the form that addresses have."""
    if name == PGP:
        return name
    try:
        location = source_location(name, path.parent)
    except ValueError as error:
        raise SecretsUnusable(f"The secrets file {path}, section {number}: {error}.") from None
    if not isinstance(location, RemoteLocation):
        raise SecretsUnusable(
            f"The secrets file {path}, section {number}: expected s3://bucket, sftp://user@host or {PGP}."
        )
    return location.address


def _section(path: Path, number: int, name: str, values: dict[Any, Any]) -> dict[str, str]:
    allowed = _KEYS[name.partition("://")[0].lower()]
    if unknown := [key for key in values if key not in allowed or not isinstance(values[key], str)]:
        position = list(values).index(unknown[0]) + 1
        raise SecretsUnusable(
            f"The secrets file {path}, section {number}, key {position}: expected a text under {', '.join(allowed)}."
        )
    return dict(values)
