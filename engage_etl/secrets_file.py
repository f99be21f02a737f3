"""The secrets file that ENGAGE_SECRETS_FILE names: a YAML file of sections, for its owner's eyes only.

::

    s3://bucket:
      access-key-id: ...
      secret-access-key: ...
    sftp://user@host:
      private-key: /etc/engage/id_ed25519
    pgp:
      passphrase: ...
    notify:
      addresses: mailto://... slack://...

The whole file is checked whatever is looked for in it: a section that is misspelt would never be found. No error repeats
anything but the names of keys that are right.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from engage_etl.errors import SecretsUnusable
from engage_etl.settings import Settings
from engage_etl.vocabulary.locations import RemoteLocation, source_location

PGP, NOTIFY = "pgp", "notify"
_KEYS = {
    "s3": ("access-key-id", "secret-access-key", "session-token", "endpoint-url", "region"),
    "sftp": ("private-key", "passphrase", "password", "known-hosts"),
    PGP: ("passphrase",),
    NOTIFY: ("addresses",),
}


def secrets_of(settings: Settings, section: str) -> Mapping[str, str]:
    """The secrets of one section, by key; none without a secrets file, or if it does not name the section.

    section: the address of a source, like ``sftp://user@host``, ``pgp`` or ``notify``.

    Raises:
        SecretsUnusable: the file cannot be used; the sentence says why.
    """
    if settings.secrets_file is None:
        return {}
    path = settings.secrets_file.expanduser()
    return _sections(path, _parse(path, _read_private(path))).get(section, {})


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


def _parse(path: Path, text: str) -> object:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        found = YAML(typ="base", pure=True).load(text)  # every scalar a text
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SecretsUnusable(f"The secrets file {path} is no YAML; look at line {line}.") from None
    except YAMLError:
        raise SecretsUnusable(f"The secrets file {path} is no YAML.") from None
    return {} if found is None else found


def _sections(path: Path, found: object) -> dict[str, dict[str, str]]:
    if not isinstance(found, dict):
        raise SecretsUnusable(f"The secrets file {path} is not as expected: sections, and keys below each.")
    sections: dict[str, dict[str, str]] = {}
    for number, (name, values) in enumerate(found.items(), 1):
        where = f"The secrets file {path}, section {number}"
        address = _name(where, path.parent, str(name))
        sections[address] = _section(where, address, values)
    return sections


def _name(where: str, base: Path, name: str) -> str:
    """The name of a section in the form that addresses have."""
    if name in (PGP, NOTIFY):
        return name
    try:
        location = source_location(name, base)
    except ValueError as error:
        raise SecretsUnusable(f"{where}: {error}.") from None
    if not isinstance(location, RemoteLocation):
        raise SecretsUnusable(f"{where}: expected s3://bucket, sftp://user@host, {PGP} or {NOTIFY}.")
    return location.address


def _section(where: str, name: str, values: object) -> dict[str, str]:
    allowed = _KEYS[name.partition("://")[0]]
    if not isinstance(values, dict):
        raise SecretsUnusable(f"{where} is not as expected: a text under {', '.join(allowed)}.")
    for position, (key, value) in enumerate(values.items(), 1):
        if key not in allowed or not isinstance(value, str):
            raise SecretsUnusable(f"{where}, key {position}: expected a text under {', '.join(allowed)}.")
    return dict(values)
