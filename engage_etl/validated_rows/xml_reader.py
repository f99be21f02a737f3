"""Read an XML file user by user, in a stream (R25)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from lxml import etree

from engage_etl.errors import FileError, FileErrorCode
from engage_etl.validated_rows.records import Chunk, CustomDefinition, Malformed
from engage_etl.vocabulary.attributes import (
    ADDRESSES,
    ATTRIBUTES,
    BY_ELEMENT,
    BY_FIELD,
    CUSTOM,
    LONGEST_CUSTOM_NAME,
    CustomType,
    custom_header,
    custom_key,
)

NAMESPACE = "http://webservices.ecircle-ag.com/ecm"
_ROOT, _LIST, _USER, _VALUE, _DEFINITION = "userdata", "list", "user", "namedattr", "namedattr-definition"
_CORRECT_IT = "Correct the user and import it again."
_NO_MARKUP = (etree._Comment, etree._ProcessingInstruction)


@dataclass
class User:
    """One ``user`` element. row: n-th of the file; values: by field or ``custom.<name>``; problem: why it is no row."""

    row: int
    values: dict[str, str] = field(default_factory=dict)
    problem: str | None = None


class XmlReader:
    """An XML file, read in a stream: memory does not grow with it.

    path: of the bytes; name: of the file, for messages.
    """

    def __init__(self, path: Path, *, name: str) -> None:
        self._path, self._name = path, name
        self._columns: dict[str, str] = {}
        self._custom_names: dict[str, str] = {}
        self._unknown: Counter[str] = Counter()
        self._definitions: dict[str, CustomDefinition] | None = None

    @property
    def columns(self) -> dict[str, str]:
        """Element to field, in the order in which they were met; custom attributes as ``namedattr <name>``."""
        return dict(self._columns)

    @property
    def definitions(self) -> dict[str, CustomDefinition]:
        """Custom attributes that the file defines, those behind its users too.

        Raises:
            FileError: the file is not well-formed, or a definition is wrong.
        """
        if self._definitions is None:
            self._definitions = self._read_definitions()
        return self._definitions

    @property
    def warnings(self) -> list[str]:
        """Elements that were passed over, each once with how often it was met."""
        return [
            f"{self._name}: the element {element!r} is not known and was passed over ({count:,} times)."
            for element, count in sorted(self._unknown.items())
        ]

    def chunks(self, size: int) -> Iterator[Chunk]:
        """Read the users in chunks of up to ``size``.

        Raises:
            FileError: the file is not well-formed, has a DOCTYPE, or is no ``userdata`` (R25).
        """
        self._custom_names = {key: definition.name for key, definition in self.definitions.items()}
        users = self._users()
        while block := list(islice(users, size)):
            yield _as_chunk(block)

    def original_header(self) -> list[str]:
        """The CSV headers of all fields that users of the file fill."""
        if not self._columns:
            for _ in self.chunks(1000):
                pass
        return [_as_header(name) for name in self._columns.values()]

    def originals(self) -> Iterator[tuple[int, list[str]]]:
        """Number and values of every user, as cells under ``original_header``."""
        self.original_header()
        fields = list(self._columns.values())
        for user in self._users():
            yield user.row, [user.values.get(name, "") for name in fields]

    def _users(self) -> Iterator[User]:
        self._unknown.clear()
        for row, element in enumerate(self._elements(_USER), 1):
            yield self._read_user(row, element)

    def _read_user(self, row: int, element: etree._Element) -> User:
        user = User(row)
        for child in element.iterchildren():
            if isinstance(child, _NO_MARKUP):
                continue
            name = self._field(child, user)
            if name is None:
                continue
            if name in user.values:
                user.problem = user.problem or f"it has the element {_described(name)} twice"
            if any(not isinstance(inner, _NO_MARKUP) for inner in child.iterchildren()):
                user.problem = user.problem or f"the element {_described(name)} holds other elements"
            user.values[name] = _text(child)
        return user

    def _field(self, child: etree._Element, user: User) -> str | None:
        """The field that an element fills, or None for one that is not known."""
        tag = etree.QName(child).localname
        if tag == _VALUE:
            return self._custom_field(child, user)
        if (attribute := BY_ELEMENT.get(tag)) is None:
            self._unknown[tag] += 1
            return None
        self._columns.setdefault(tag, attribute.field)
        return attribute.field

    def _custom_field(self, child: etree._Element, user: User) -> str | None:
        given = _attribute(child, "name")
        if not given or len(given) > LONGEST_CUSTOM_NAME:
            user.problem = user.problem or f"a namedattr has no name of 1 to {LONGEST_CUSTOM_NAME} characters"
            return None
        name = self._custom_names.setdefault(custom_key(given), given)
        self._columns.setdefault(f"{_VALUE} {name}", CUSTOM + name)
        return CUSTOM + name

    def _read_definitions(self) -> dict[str, CustomDefinition]:
        found: dict[str, CustomDefinition] = {}
        for element in self._elements(_DEFINITION):
            definition = self._definition(element)
            if custom_key(definition.name) in found:
                raise self._refused(f"the custom attribute {definition.name!r} is defined twice; leave one definition")
            found[custom_key(definition.name)] = definition
        return found

    def _definition(self, element: etree._Element) -> CustomDefinition:
        name, kind = _attribute(element, "name"), (_attribute(element, "type") or CustomType.STRING).lower()
        if not name or len(name) > LONGEST_CUSTOM_NAME:
            raise self._refused(f"a {_DEFINITION} has no name of 1 to {LONGEST_CUSTOM_NAME} characters; add it")
        if kind not in set(CustomType):
            allowed = ", ".join(CustomType)
            raise self._refused(f"the custom attribute {name!r} has the type {kind!r}; expected one of {allowed}")
        allowed_values = None
        if (_attribute(element, "enum") or "").lower() == "true":
            texts = (_text(child) for child in element.iterchildren(tag=etree.Element))
            allowed_values = tuple(text for text in texts if text) or None
        return CustomDefinition(name, CustomType(kind), allowed_values)

    def _elements(self, wanted: str) -> Iterator[etree._Element]:
        """The elements of one name that stand in ``list`` or directly under the root, freed as they go."""
        with self._path.open("rb") as file:
            parser = etree.iterparse(
                file,
                events=("start", "end"),
                resolve_entities=False,
                no_network=True,
                load_dtd=False,
                huge_tree=False,
            )
            depth = 0
            try:
                for event, element in parser:
                    depth += 1 if event == "start" else -1
                    if event == "start":
                        self._judge_start(element, depth)
                        continue
                    if depth <= 2 and _local(element) in (_USER, _DEFINITION) and _is_in_place(element):
                        if _local(element) == wanted:
                            yield element
                        _free(element)
            except etree.XMLSyntaxError as error:
                line, column = error.position
                raise self._refused(f"it is not well-formed XML: {error.msg} (line {line}, column {column})") from None

    def _judge_start(self, element: etree._Element, depth: int) -> None:
        if depth == 1:
            self._judge_root(element)
        elif depth == 2 and _local(element) not in (_LIST, _USER, _DEFINITION):
            self._unknown[_local(element)] += 1

    def _judge_root(self, root: etree._Element) -> None:
        if root.getroottree().docinfo.internalDTD is not None:
            raise self._refused("it has a DOCTYPE, which is refused; remove it")
        name = etree.QName(root)
        if name.localname != _ROOT or name.namespace not in (None, NAMESPACE):
            raise self._refused(f"its root is {root.tag!r}; expected {_ROOT!r} in the namespace {NAMESPACE} or in none")

    def _refused(self, problem: str) -> FileError:
        return FileError(FileErrorCode.XML_INVALID, f"{self._name}: {problem}. Nothing was imported.")


def _text(element: etree._Element) -> str:
    """The text of an element without the white space around it, which pretty-printers add (R18)."""
    # What follows a comment or a processing instruction belongs to the text as well.
    return "".join([element.text or "", *(child.tail or "" for child in element)]).strip()


def _attribute(element: etree._Element, name: str) -> str | None:
    """An attribute by name, compared regardless of case (R25)."""
    return next((str(value) for key, value in element.attrib.items() if str(key).lower() == name), None)


def _local(element: etree._Element) -> str:
    return etree.QName(element).localname


def _is_in_place(element: etree._Element) -> bool:
    """Whether an element stands in ``list`` or directly under the root."""
    parent = element.getparent()
    return parent is not None and _local(parent) in (_LIST, _ROOT)


def _described(name: str) -> str:
    return repr(name.removeprefix(CUSTOM)) if name.startswith(CUSTOM) else BY_FIELD[name].element


def _as_header(name: str) -> str:
    return custom_header(name.removeprefix(CUSTOM)) if name.startswith(CUSTOM) else BY_FIELD[name].header


def _free(element: etree._Element) -> None:
    """Give up an element and what stands before it: a stream keeps nothing."""
    element.clear()
    while element.getprevious() is not None:
        del element.getparent()[0]  # type: ignore[union-attr]  # what has a previous one has a parent


def _as_chunk(users: list[User]) -> Chunk:
    good = [user for user in users if user.problem is None]
    names = dict.fromkeys(name for user in good for name in user.values)
    order = [attribute.field for attribute in ATTRIBUTES if attribute.field in names]
    order += [name for name in names if name not in BY_FIELD]
    return Chunk(
        rows=[user.row for user in good],
        columns={name: [user.values.get(name) for user in good] for name in order},
        key_fields=[_key_field(user) for user in good],
        malformed=[
            Malformed(user.row, f"the user cannot be read: {user.problem}. {_CORRECT_IT}")
            for user in users
            if user.problem is not None
        ],
    )


def _key_field(user: User) -> str | None:
    """The first of e-mail, mobile number and alias that is present, even if it is blank (R3)."""
    return next((address.field for address in ADDRESSES if address.field in user.values), None)
