"""Read an XML file user by user, in a stream (R25)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import chain, islice
from pathlib import Path
from typing import TypedDict, cast

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
    MEMBER,
    CustomType,
    custom_header,
    custom_key,
    free_name,
    is_free,
    member_header,
)

NAMESPACE = "http://webservices.ecircle-ag.com/ecm"
_ROOT, _LIST, _USER, _DEFINITION = "userdata", "list", "user", "namedattr-definition"
_NAMED = {"namedattr": CUSTOM, "memberattr": MEMBER}
"""Elements whose attribute ``name`` says what they fill, and the prefix of the field (R17, R20)."""

_WHITE_SPACE = " \t\r\n"
"""What XML calls white space, and pretty-printers add; other white space is part of a value."""

_LAST_RELIABLE_LINE = 65_534
"""libxml2 counts lines in 16 bits."""

_ENCODING_FAULTS = (
    etree.ErrorTypes.ERR_UNSUPPORTED_ENCODING,
    etree.ErrorTypes.ERR_UNKNOWN_ENCODING,
    etree.ErrorTypes.ERR_INVALID_ENCODING,
)
_CORRECT_IT = "Correct the user and import it again."
_PREFIX = f"{{{NAMESPACE}}}"
_WANTED = [prefix + name for prefix in ("", _PREFIX) for name in (_USER, _DEFINITION)]


class _Safe(TypedDict):
    """How every file is parsed: no entities, no network, no DTD, libxml2's limits on."""

    resolve_entities: bool
    no_network: bool
    load_dtd: bool
    huge_tree: bool


_SAFE: _Safe = {"resolve_entities": False, "no_network": True, "load_dtd": False, "huge_tree": False}


@dataclass
class User:
    """One ``user`` element.

    row: n-th of the file; line: on which it starts, None where that is not known; values: by field, ``custom.<name>`` or
    ``member.<name>``; problem: why it is no row.
    """

    row: int
    line: int | None = None
    values: dict[str, str] = field(default_factory=dict)
    problem: str | None = None


class XmlReader:
    """An XML file, read in a stream: memory does not grow with it.

    path: of the bytes; name: of the file, for messages.
    """

    def __init__(self, path: Path, *, name: str) -> None:
        self._path, self._name = path, name
        self._columns: dict[str, str] = {}
        self._named_columns: dict[tuple[str, str], str] = {}
        self._tags: dict[object, str] = {}
        self._named: dict[tuple[object, str | None], str] = {}
        self._met: set[str] = set()
        self._good_parent: etree._Element | None = None
        self._unknown: Counter[str] = Counter()
        self._definitions: dict[str, CustomDefinition] | None = None
        self._is_read = False

    @property
    def columns(self) -> dict[str, str]:
        """Element to field, in the order in which they were met; named ones as ``namedattr <name>``."""
        return dict(self._columns)

    @property
    def definitions(self) -> dict[str, CustomDefinition]:
        """Custom attributes that the file defines; they stand before its users.

        Raises:
            FileError: the file is not well-formed up to its first user, or a definition is wrong.
        """
        if self._definitions is None:
            self._definitions = self._read_definitions()
        return self._definitions

    @property
    def warnings(self) -> list[str]:
        """Elements that were passed over, each once with how often it was met."""
        return [
            f"{self._name}: the element {element!r} is not known and was passed over ({count:,} times).{_nearest(element)}"
            for element, count in sorted(self._unknown.items())
        ]

    def chunks(self, size: int) -> Iterator[Chunk]:
        """Read the users in chunks of up to ``size``.

        Raises:
            FileError: the file is not well-formed, has a DOCTYPE, or is no ``userdata`` (R25).
        """
        users = self._users()
        while block := list(islice(users, size)):
            yield _as_chunk(block)

    def original_header(self) -> list[str]:
        """The CSV headers of all fields that users of the file fill."""
        if not self._is_read:
            for _ in self._users():
                pass
        return [_as_header(name) for name in self._columns.values()]

    def originals(self) -> Iterator[tuple[int, list[str]]]:
        """Number and values of every user, as cells under ``original_header``."""
        self.original_header()
        fields = list(dict.fromkeys(self._columns.values()))
        for user in self._users():
            yield user.row, [user.values.get(name, "") for name in fields]

    def _users(self) -> Iterator[User]:
        self._named_columns = {(CUSTOM, key): CUSTOM + definition.name for key, definition in self.definitions.items()}
        self._tags = {
            prefix + name: attribute.field for prefix in ("", _PREFIX) for name, attribute in BY_ELEMENT.items()
        }
        self._named.clear()
        self._unknown.clear()
        row = 0
        for element in self._elements():
            if _local(element.tag) == _USER:
                row += 1
                yield self._read_user(row, element)
            elif row:
                raise self._refused(
                    f"the definition of the custom attribute {_attribute(element, 'name')!r} stands behind a user; "
                    "put the definitions before the first user"
                )
        self._is_read = True

    def _read_user(self, row: int, element: etree._Element) -> User:
        user = User(row, _line(element))
        values, tags, named = user.values, self._tags, self._named
        # The inner loop of reading XML: what most elements pass is done here, without further calls.
        for child in element:
            tag = child.tag
            name = tags.get(tag) or named.get((tag, child.get("name"))) or self._named_field(child, user)
            if name is None:
                continue
            if name in values:
                user.problem = user.problem or f"it has the element {_described(name)} twice"
            if len(child):
                if _holds_elements(child):
                    user.problem = user.problem or f"the element {_described(name)} holds other elements"
                values[name] = _text(child)
            else:
                text = child.text
                values[name] = text.strip(_WHITE_SPACE) if text else ""
        if not values.keys() <= self._met:
            self._meet(values)
        return user

    def _meet(self, values: dict[str, str]) -> None:
        """Enter the fields that a user is the first to fill into ``columns``."""
        self._met.update(values)
        for name in values:
            self._columns.setdefault(_element(name), name)

    def _named_field(self, child: etree._Element, user: User) -> str | None:
        """The field of an element that is not in the catalogue, or None for one that is not known."""
        tag = child.tag
        if not isinstance(tag, str):  # a comment or a processing instruction
            return None
        prefix = _NAMED.get(_local(tag))
        if prefix is None:
            self._unknown[_local(tag)] += 1
            return None
        given = child.get("name") or _attribute(child, "name")
        if given is None or not given.strip() or len(given) > LONGEST_CUSTOM_NAME:
            user.problem = user.problem or f"a {_local(tag)} has no name of 1 to {LONGEST_CUSTOM_NAME} characters"
            return None
        self._named[tag, given] = self._named_columns.setdefault((prefix, custom_key(given)), prefix + given)
        return self._named[tag, given]

    def _read_definitions(self) -> dict[str, CustomDefinition]:
        found: dict[str, CustomDefinition] = {}
        for element in self._elements():
            if _local(element.tag) == _USER:
                break
            definition = self._definition(element)
            if custom_key(definition.name) in found:
                raise self._refused(f"the custom attribute {definition.name!r} is defined twice; leave one definition")
            found[custom_key(definition.name)] = definition
        return found

    def _definition(self, element: etree._Element) -> CustomDefinition:
        name, kind = _attribute(element, "name"), (_attribute(element, "type") or CustomType.STRING).lower()
        if name is None or not name.strip() or len(name) > LONGEST_CUSTOM_NAME:
            raise self._refused(f"a {_DEFINITION} has no name of 1 to {LONGEST_CUSTOM_NAME} characters; add it")
        if kind not in set(CustomType):
            allowed = ", ".join(CustomType)
            raise self._refused(f"the custom attribute {name!r} has the type {kind!r}; expected one of {allowed}")
        allowed_values = None
        if (_attribute(element, "enum") or "").lower() == "true":
            texts = (_text(child) for child in element.iterchildren(tag=etree.Element))
            allowed_values = tuple(text for text in texts if text) or None
        return CustomDefinition(name, CustomType(kind), allowed_values)

    def _elements(self) -> Iterator[etree._Element]:
        """The definitions and users that stand in ``list`` or directly under the root, freed as they go."""
        self._judge_root()
        self._good_parent = None
        try:
            with self._path.open("rb") as file:
                parser = etree.iterparse(file, events=("end",), tag=_WANTED, **_SAFE)
                for _, element in parser:
                    if self._is_in_place(element):
                        yield element
                        self._free(element)
                self._note_unknown(parser.root)
        except etree.XMLSyntaxError as error:
            raise self._ill_formed(error) from None

    def _is_in_place(self, element: etree._Element) -> bool:
        """Whether an element stands directly under the root or in a ``list`` that does."""
        parent = element.getparent()
        if parent is None or parent is self._good_parent:
            return parent is not None
        above = parent.getparent()
        is_good = above is None or (_local(parent.tag) == _LIST and above.getparent() is None)
        self._good_parent = parent if is_good else self._good_parent
        return is_good

    def _judge_root(self) -> None:
        """Look at what stands before the content, before any of it is read."""
        try:
            with self._path.open("rb") as file:
                _, root = next(iter(etree.iterparse(file, events=("start",), **_SAFE)))
        except etree.XMLSyntaxError as error:
            raise self._ill_formed(error) from None
        if root.getroottree().docinfo.internalDTD is not None:
            raise self._refused("it has a DOCTYPE, which is refused; remove it")
        if _local(root.tag) != _ROOT:
            raise self._refused(f"its root is {root.tag!r}; expected {_ROOT!r} in the namespace {NAMESPACE} or in none")

    def _free(self, element: etree._Element) -> None:
        """Give up an element and what stands before it: a stream keeps nothing."""
        element.clear()
        parent = element.getparent()
        while parent is not None and (before := element.getprevious()) is not None:
            self._note_unknown_one(before)
            parent.remove(before)

    def _note_unknown_one(self, element: etree._Element) -> None:
        if not isinstance(element.tag, str):
            return
        local = _local(element.tag)
        if local == _LIST:
            self._note_unknown(element)
        elif local not in (_USER, _DEFINITION):
            self._unknown[local] += 1

    def _note_unknown(self, parent: etree._Element) -> None:
        """Count the elements of the root or of a list that are not known."""
        for element in parent:
            self._note_unknown_one(element)

    def _ill_formed(self, error: etree.XMLSyntaxError) -> FileError:
        line, column = error.position
        told = (error.msg or "").partition(", line ")[0]
        if getattr(error, "code", None) in _ENCODING_FAULTS:
            return FileError(
                FileErrorCode.ENCODING_INVALID,
                f"{self._name}: {told} (line {line}, column {column}). Declare the encoding that the file has, like "
                "UTF-8, and import it again. Nothing was imported.",
            )
        return self._refused(f"it is not well-formed XML: {told} (line {line}, column {column})")

    def _refused(self, problem: str) -> FileError:
        return FileError(FileErrorCode.XML_INVALID, f"{self._name}: {problem}. Nothing was imported.")


def _line(element: etree._Element) -> int | None:
    line = cast("int | None", element.sourceline)
    return line if line is not None and line <= _LAST_RELIABLE_LINE else None


def _text(element: etree._Element) -> str:
    """The text of an element without the white space around it, which pretty-printers add (R18)."""
    text = element.text or ""
    if len(element):
        # What follows a comment or a processing instruction belongs to the text as well.
        text += "".join(child.tail or "" for child in element)
    return text.strip(_WHITE_SPACE)


def _holds_elements(element: etree._Element) -> bool:
    return any(isinstance(inner.tag, str) for inner in element)


def _attribute(element: etree._Element, name: str) -> str | None:
    """An attribute by name, compared regardless of case (R25)."""
    return next((str(value) for key, value in element.attrib.items() if str(key).lower() == name), None)


def _local(tag: str) -> str:
    """A name without our namespace; one of another namespace stays as it is, so that it is not taken for ours."""
    return tag.removeprefix(_PREFIX)


def _nearest(element: str) -> str:
    """The element that was probably meant: names compare exactly (R25)."""
    by_small = {name.lower(): name for name in [*BY_ELEMENT, *_NAMED, _USER, _LIST]}
    found = get_close_matches(element.lower(), by_small, n=1, cutoff=0.75)
    return f" Did you mean {by_small[found[0]]!r}?" if found else ""


def _element(name: str) -> str:
    """What fills a field in the file, as ``columns`` names it."""
    if not is_free(name):
        return BY_FIELD[name].element
    kind = next(kind for kind, prefix in _NAMED.items() if name.startswith(prefix))
    return f"{kind} {free_name(name)}"


def _described(name: str) -> str:
    return repr(free_name(name)) if is_free(name) else BY_FIELD[name].element


def _as_header(name: str) -> str:
    if not is_free(name):
        return BY_FIELD[name].header
    return custom_header(free_name(name)) if name.startswith(CUSTOM) else member_header(free_name(name))


def _as_chunk(users: list[User]) -> Chunk:
    good = [user for user in users if user.problem is None]
    names = dict.fromkeys(chain.from_iterable(user.values for user in good))
    order = [attribute.field for attribute in ATTRIBUTES if attribute.field in names]
    order += [name for name in names if name not in BY_FIELD]
    return Chunk(
        rows=[user.row for user in good],
        columns={name: [user.values.get(name) for user in good] for name in order},
        key_fields=[_key_field(user) for user in good],
        lines=[user.line for user in good],
        malformed=[
            Malformed(user.row, f"the user cannot be read: {user.problem}. {_CORRECT_IT}", user.line)
            for user in users
            if user.problem is not None
        ],
    )


def _key_field(user: User) -> str | None:
    """The first of e-mail, mobile number and alias that is present, even if it is blank (R3)."""
    return next((address.field for address in ADDRESSES if address.field in user.values), None)
