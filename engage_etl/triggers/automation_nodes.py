"""``automations.yaml`` as it is written: every scalar a text, and the line on which each thing stands (R2)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from engage_etl.errors import AutomationError

KeyPath = tuple[str | int, ...]
"""Where something stands within an automation: ``("additional-parameters", "source-use-customeridentifier")``."""


@dataclass(frozen=True)
class Entry:
    """One automation as it stands in the file.

    values: texts, lists and mappings of texts by key; lines: 1-based, by path; doubled: paths of keys that stand twice,
    with the line of the second.
    """

    file: str
    line: int
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[KeyPath, int] = field(default_factory=dict)
    doubled: list[tuple[KeyPath, int]] = field(default_factory=list)

    def error(
        self, message: str, path: KeyPath = (), *, nearest: str | None = None, line: int | None = None
    ) -> AutomationError:
        """What is wrong at a path; its last key is named, its line is that of the nearest thing above it that has one."""
        known = next((self.lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self.lines), self.line)
        key = next((part for part in reversed(path) if isinstance(part, str)), None)
        return AutomationError(message, file=self.file, line=line or known, key=key, nearest=nearest)

    def without(self, keys: set[str]) -> Entry:
        """The automation as if it lacked some of its keys."""
        return replace(self, values={key: value for key, value in self.values.items() if key not in keys})


def read_entries(path: Path) -> tuple[list[Entry], list[AutomationError]]:
    """The automations of the file in their order, and one error for each that is no mapping; a missing file has none.

    Raises:
        AutomationError: the file as a whole cannot be read.
    """
    entries: list[Entry] = []
    errors: list[AutomationError] = []
    for node in _automation_nodes(path):
        if not isinstance(node, MappingNode):
            errors.append(_error("expected an automation with keys like 'name'.", path, node))
            continue
        entry = Entry(path.name, _line(node))
        entry.values.update(_plain_mapping(node, (), entry))
        entries.append(entry)
    return entries, errors


def _automation_nodes(path: Path) -> list[Node]:
    root = _root(path)
    if root is None:
        return []
    if isinstance(root, MappingNode):
        for key, value in root.value:
            if key.value == "automations":
                return _listed(value, path)
    raise _error("expected a list under the key 'automations'.", path, root)


def _root(path: Path) -> Node | None:
    try:
        root: Node | None = YAML().compose(path.read_text(encoding="utf-8"))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise AutomationError(f"the file is no YAML ({error.problem}).", file=path.name, line=line) from None
    except ReaderError as error:
        raise AutomationError(f"the file is no YAML ({error.reason}).", file=path.name, line=1) from None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise AutomationError(f"the file cannot be read ({error}).", file=path.name, line=1) from None
    return root


def _listed(node: Node, path: Path) -> list[Node]:
    if isinstance(node, SequenceNode):
        return list(node.value)
    if isinstance(node, ScalarNode) and not node.value:
        return []
    raise _error("expected a list of automations, each beginning with '- name:'.", path, node)


def _plain(node: Node, path: KeyPath, entry: Entry) -> Any:
    """A node as text, list or mapping; its lines are noted in the entry."""
    if isinstance(node, MappingNode):
        return _plain_mapping(node, path, entry)
    if isinstance(node, SequenceNode):
        for number, item in enumerate(node.value):
            entry.lines[*path, number] = _line(item)
        return [_plain(item, (*path, number), entry) for number, item in enumerate(node.value)]
    return str(node.value)


def _plain_mapping(node: MappingNode, path: KeyPath, entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        name = str(key.value)
        if name in found:
            entry.doubled.append(((*path, name), _line(key)))
            continue
        entry.lines[*path, name] = _line(key)
        found[name] = _plain(value, (*path, name), entry)
    return found


def _error(message: str, path: Path, node: Node) -> AutomationError:
    return AutomationError(message, file=path.name, line=_line(node))


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1
