"""The secrets file that ENGAGE_SECRETS_FILE names: a YAML file of sections, for its owner's eyes only.

::

    notify:
      addresses: mailto://... slack://...

A section is looked for by its name; what others hold is their own business. No error repeats anything of the file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from engage_etl.errors import SecretsUnusable


def secrets_section(path: Path, name: str, keys: tuple[str, ...]) -> Mapping[str, str]:
    """The texts of one section by key; none if the file does not have it. keys: those that it may have.

    Raises:
        SecretsUnusable: the file cannot be used; the sentence says why.
    """
    path = path.expanduser()
    sections = _parse(path, _read_private(path))
    if not isinstance(sections, dict):
        raise SecretsUnusable(f"The secrets file {path} is not as expected: sections, and keys below each.")
    section = sections.get(name, {})
    if not isinstance(section, dict) or any(
        key not in keys or not isinstance(value, str) for key, value in section.items()
    ):
        raise SecretsUnusable(
            f"The secrets file {path} has a section {name} that is not as expected: a text under {', '.join(keys)}."
        )
    return section


def _read_private(path: Path) -> str:
    """The text of a file that nobody but its owner, who runs this program, can read."""
    try:
        with path.open(encoding="utf-8") as file:
            found = os.fstat(file.fileno())
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
