"""``automations.yaml``: what applies to the files of a drop folder (R2).

Every scalar is read as text, so that ``True`` and ``true`` stay apart. An automation that is wrong is reported with
file, line, key and the nearest right spelling; the others go on.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from engage_etl.errors import AutomationError
from engage_etl.vocabulary.choices import DETECT
from engage_etl.vocabulary.locations import Location, source_location
from engage_etl.vocabulary.options import ImportOptions

ON_ARRIVAL = "on-arrival"
IMPORT_CONTACTS = "import-contacts"
USE_IDENTIFIER = "source-use-customeridentifier"
"""The additional parameter that turns on matching on the external identifier (R2)."""

_NAME = re.compile(r"[a-z0-9-]+")
_DETECTED = ("file-type", "separator", "character-set")
_FILE_OPTIONS = tuple(
    field.replace("_", "-") for field in ImportOptions.model_fields if field not in ("group", "use_external_identifier")
)
_LISTED = ("update-rule",)
_KEYS = ("name", "job", "group", "source", "pattern", "schedule", "active", "additional-parameters", *_FILE_OPTIONS)


@dataclass(frozen=True)
class Automation:
    """One automation that is right.

    name: of ``[a-z0-9-]+``; source: folder, absolute, or elsewhere; pattern: of file names; is_active: whether files are taken;
    options: of its imports.
    """

    name: str
    source: Location
    pattern: str
    is_active: bool
    options: ImportOptions


@dataclass(frozen=True)
class _Entry:
    """One automation as it stands in the file: texts and lines by key."""

    file: str
    line: int
    values: dict[str, Any]
    lines: dict[str, int]

    def error(self, message: str, key: str | None = None, nearest: str | None = None) -> AutomationError:
        line = self.lines.get(key, self.line) if key else self.line
        return AutomationError(message, file=self.file, line=line, key=key, nearest=nearest)


def load_automations(path: Path, data_folder: Path) -> tuple[list[Automation], list[AutomationError]]:
    """Read the automations; a missing file has none.

    data_folder: what relative sources are relative to.

    Returns:
        The automations that are right, and one error for each that is not.
    """
    if not path.exists():
        return [], []
    right: list[Automation] = []
    wrong: list[AutomationError] = []
    try:
        nodes = _automation_nodes(path)
    except AutomationError as error:
        return [], [error]
    for node in nodes:
        try:
            automation = _read_automation(_entry(path.name, node), data_folder)
            _refuse_taken(automation, right, node, path.name)
        except AutomationError as error:
            wrong.append(error)
        else:
            right.append(automation)
    return right, wrong


def _automation_nodes(path: Path) -> list[Node]:
    try:
        root = YAML().compose(path.read_text(encoding="utf-8"))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise AutomationError(f"the file is no YAML ({error.problem}).", file=path.name, line=line) from None
    except ReaderError as error:
        raise AutomationError(f"the file is no YAML ({error.reason}).", file=path.name, line=1) from None
    except (OSError, UnicodeDecodeError) as error:
        raise AutomationError(f"the file cannot be read ({error}).", file=path.name, line=1) from None
    if root is None:
        return []
    if isinstance(root, MappingNode):
        for key, value in root.value:
            if key.value == "automations":
                return _listed(value, path.name)
    raise AutomationError("expected a list under the key 'automations'.", file=path.name, line=_line(root))


def _listed(node: Node, file: str) -> list[Node]:
    if isinstance(node, SequenceNode):
        return list(node.value)
    if isinstance(node, ScalarNode) and not node.value:
        return []
    raise AutomationError("expected a list of automations, each beginning with '- name:'.", file=file, line=_line(node))


def _entry(file: str, node: Node) -> _Entry:
    if not isinstance(node, MappingNode):
        raise AutomationError("expected an automation with keys like 'name'.", file=file, line=_line(node))
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for key, value in node.value:
        name = str(key.value)
        if name in values:
            raise AutomationError(f"the key {name!r} stands twice; leave one.", file=file, line=_line(key), key=name)
        lines[name] = _line(key)
        values[name] = _value(file, name, value)
    return _Entry(file, _line(node), values, lines)


def _value(file: str, name: str, node: Node) -> str | tuple[str, ...] | dict[str, tuple[str, int]]:
    if isinstance(node, ScalarNode):
        return str(node.value)
    if name in _LISTED and isinstance(node, SequenceNode) and all(isinstance(item, ScalarNode) for item in node.value):
        return tuple(str(item.value) for item in node.value)
    if isinstance(node, MappingNode) and all(isinstance(value, ScalarNode) for _, value in node.value):
        return _mapping(file, node)
    raise AutomationError(
        f"the key {name!r} has a list; expected a single value.", file=file, line=_line(node), key=name
    )


def _mapping(file: str, node: MappingNode) -> dict[str, tuple[str, int]]:
    found: dict[str, tuple[str, int]] = {}
    for key, value in node.value:
        name = str(key.value)
        if name in found:
            raise AutomationError(f"the key {name!r} stands twice; leave one.", file=file, line=_line(key), key=name)
        found[name] = str(value.value), _line(key)
    return found


def _read_automation(entry: _Entry, data_folder: Path) -> Automation:
    for key in entry.values:
        if key not in _KEYS:
            raise entry.error(f"there is no key {key!r}.", key, _nearest(key, _KEYS))
        if isinstance(entry.values[key], dict) is not (key == "additional-parameters"):
            raise entry.error(f"the key {key!r} does not take such a value.", key)
    name = _required(entry, "name")
    if not _NAME.fullmatch(name):
        raise entry.error(f"the name {name!r} does not fit; expected small letters, digits and hyphens.", "name")
    _one_of(entry, "job", (IMPORT_CONTACTS,), IMPORT_CONTACTS)
    _one_of(entry, "schedule", (ON_ARRIVAL,), ON_ARRIVAL)
    return Automation(
        name=name,
        source=_source(entry, data_folder),
        pattern=entry.values.get("pattern", "*"),
        is_active=_one_of(entry, "active", ("true", "false"), "true") == "true",
        options=_options(entry),
    )


def _source(entry: _Entry, data_folder: Path) -> Location:
    try:
        return source_location(_required(entry, "source"), data_folder)
    except ValueError as error:
        raise entry.error(f"the source does not fit: {error}.", "source") from None


def _options(entry: _Entry) -> ImportOptions:
    given: dict[str, Any] = {"group": _required(entry, "group"), "use_external_identifier": _uses_identifier(entry)}
    for key in _FILE_OPTIONS:
        value = entry.values.get(key)
        if value is not None and not (key in _DETECTED and value == DETECT):
            given[key.replace("-", "_")] = value
    try:
        return ImportOptions.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]).replace("_", "-")
        allowed = re.findall(r"'([^']+)'", str(first.get("ctx", {}).get("expected", "")))
        problem = f"{key} has the value {first['input']!r}: {first['msg'].removeprefix('Value error, ')}."
        raise entry.error(problem, key, _nearest(str(first["input"]), allowed)) from None


def _uses_identifier(entry: _Entry) -> bool:
    """Whether the additional parameter asks for matching on the identifier, spelled exactly (R2)."""
    parameters = entry.values.get("additional-parameters", {})
    for name, (value, line) in parameters.items():
        if name != USE_IDENTIFIER:
            raise AutomationError(
                f"there is no additional parameter {name!r}; it is case-sensitive.",
                file=entry.file, line=line, key=name, nearest=_nearest(name, (USE_IDENTIFIER,)),
            )  # fmt: skip
        if value not in ("true", "false"):
            raise AutomationError(
                f"{name} has the value {value!r}; expected 'true' or 'false', in small letters.",
                file=entry.file, line=line, key=name, nearest=_nearest(value, ("true", "false")),
            )  # fmt: skip
    return bool(parameters) and parameters[USE_IDENTIFIER][0] == "true"


def _required(entry: _Entry, key: str) -> str:
    value = entry.values.get(key)
    if not value:
        raise entry.error(f"the key {key!r} is missing or blank.", key)
    return str(value)


def _one_of(entry: _Entry, key: str, allowed: tuple[str, ...], default: str) -> str:
    value = entry.values.get(key, default)
    if value not in allowed:
        words = " or ".join(repr(word) for word in allowed)
        raise entry.error(f"{key} has the value {value!r}; expected {words}.", key, _nearest(value, allowed))
    return str(value)


def _refuse_taken(automation: Automation, others: list[Automation], node: Node, file: str) -> None:
    """Two automations may share neither their name nor their source: a file has one owner."""
    for other in others:
        if other.name == automation.name:
            raise AutomationError(
                f"there is another automation named {other.name!r}.", file=file, line=_line(node), key="name"
            )
        if other.source.resolve() == automation.source.resolve():
            raise AutomationError(
                f"the automation {other.name!r} has the same source; give each a folder of its own.",
                file=file, line=_line(node), key="source",
            )  # fmt: skip


def _nearest(word: str, known: Any) -> str | None:
    by_small = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), by_small, n=1, cutoff=0.5)
    return by_small[found[0]] if found else None


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1
