"""Whom to erase: what they are known by, and every personal value that the store ever held of them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Select, and_, select

from engage_etl.errors import UsageError
from engage_etl.store.contacts import by_id, is_id
from engage_etl.store.tables import KEY_COLUMNS, contact, contact_change, membership, plan_row
from engage_etl.vocabulary.attributes import ADDRESSES, ATTRIBUTES, BY_FIELD, IDENTIFIER, is_free
from engage_etl.vocabulary.comparison import comparison_form

ERASED = "(erased)"
"""Stands where a message named the person."""

KNOWN_BY = (IDENTIFIER, *(address.field for address in ADDRESSES))
"""The fields that tell one person from others."""

_TELLING = 6
"""Characters from which on a text that stands anywhere is taken for the person, whatever stands around it."""
_SHORTEST_VALUE = 3
_SHOWN = 100
"""How many characters of an identifier messages show at the most."""


def key_form(field: str, value: str) -> str:
    """What an identifier or an address is found by (R4, R13)."""
    return value if field == IDENTIFIER else comparison_form(BY_FIELD[field].kind, value)


@dataclass(frozen=True)
class Person:
    """Whom to erase.

    spellings: by field of ``KNOWN_BY``, how identifiers and addresses of this person were ever written, without those that
    belong to another contact now; values: their other personal values.
    """

    contact_id: int
    spellings: Mapping[str, frozenset[str]]
    values: frozenset[str]

    @cached_property
    def keys(self) -> dict[str, frozenset[str]]:
        """The comparison forms of the spellings, by field."""
        return {field: frozenset(key_form(field, one) for one in found) for field, found in self.spellings.items()}

    @cached_property
    def words(self) -> frozenset[str]:
        """All spellings and comparison forms."""
        return frozenset(word for found in (self.spellings, self.keys) for words in found.values() for word in words)

    @cached_property
    def all_texts(self) -> frozenset[str]:
        """What must not be found where the person is known to be: spellings and personal values that are not tiny."""
        return self.words | {value for value in self.values if len(value) >= _SHORTEST_VALUE}

    def is_known_as(self, field: str | None, key: str | None) -> bool:
        """Whether a key that a row is matched on is theirs."""
        return field is not None and key is not None and key in self.keys.get(field, ())

    def is_named_in(self, text: str) -> bool:
        """Whether a text has one of the longer spellings in it, as a word of its own."""
        return self._telling is not None and self._telling.search(text) is not None

    def without(self, message: str) -> str:
        """A message of ours without the identifier or address of the person; others in it stay."""
        for pattern in (self._in_messages, self._telling):
            if pattern is not None:
                message = pattern.sub(ERASED, message)
        return message

    @cached_property
    def _telling(self) -> re.Pattern[str] | None:
        return any_of(word for word in self.words if len(word) >= _TELLING)

    @cached_property
    def _in_messages(self) -> re.Pattern[str] | None:
        """Identifiers where messages name them, however short they are."""
        shown = sorted({one[:_SHOWN] for one in self.spellings.get(IDENTIFIER, ())}, key=len, reverse=True)
        if not shown:
            return None
        before = '(?:(?<=No contact )|(?<=; )|(?<=identifier )|(?<="))'
        after = r'(?=; | exists\.| belongs to |, and |")'
        return re.compile(f"{before}(?:{'|'.join(map(re.escape, shown))}){after}")

    def contexts(self) -> list[str]:
        """What a message has in it that ``without`` changes."""
        shown = {one[:_SHOWN] for one in self.spellings.get(IDENTIFIER, ())}
        told = ("No contact {};", "; {} exists.", "identifier {} belongs to ", "identifier {}, and ", '"{}"')
        named = [context.format(one) for one in sorted(shown) for context in told]
        return named + sorted(word for word in self.words if len(word) >= _TELLING)


def any_of(texts: Iterable[str]) -> re.Pattern[str] | None:
    """A pattern for any of some texts, regardless of case, where no letter or digit goes on with it; None of none."""
    longest_first = sorted(set(texts), key=lambda text: (-len(text), text))
    if not longest_first:
        return None
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(map(re.escape, longest_first))})(?![^\W_])", re.IGNORECASE)


def find_person(connection: Connection, contact_id: int) -> Person:
    """Gather what the store knows of a contact: its profile, its memberships, its history and plans about it.

    Raises:
        UsageError: there is no such contact.
    """
    row = connection.execute(select(contact).where(by_id(contact_id))).mappings().one_or_none()
    if row is None and not _is_remembered(connection, contact_id):
        raise UsageError(f"There is no contact with id {contact_id}.")
    known: defaultdict[str, set[str]] = defaultdict(set)
    values: set[str] = set()
    if row is not None:
        values |= set(_texts(row["custom"].values()))
        for attribute in ATTRIBUTES:
            _note(known, values, attribute.field, [row[attribute.field]])
    attributes: Select[Any] = select(membership.c.attributes).where(membership.c.contact_id == contact_id)
    for of_member in connection.scalars(attributes):
        values |= set(_texts(of_member.values()))
    for table in (contact_change, plan_row):
        is_theirs = and_(table.c.contact_id == contact_id, table.c.changes.is_not(None))
        changes: Select[Any] = select(table.c.changes).where(is_theirs)
        for fields in connection.scalars(changes):
            for field, pair in fields.items():
                _note(known, values, field, pair)
    return Person(contact_id, _of_nobody_else(connection, contact_id, known), frozenset(values))


def _is_remembered(connection: Connection, contact_id: int) -> bool:
    """Whether history or plans are about a contact that is gone: a revert has removed it."""
    if not is_id(contact_id):
        return False
    about = [select(table.c.contact_id).where(table.c.contact_id == contact_id) for table in (contact_change, plan_row)]
    return any(connection.scalar(select(query.exists())) for query in about)


def _note(known: defaultdict[str, set[str]], values: set[str], field: str, texts: Iterable[Any]) -> None:
    given = set(_texts(texts))
    if field in KNOWN_BY:
        known[field] |= given
    elif is_free(field) or (field in BY_FIELD and BY_FIELD[field].personal):
        values |= given


def _texts(values: Iterable[Any]) -> list[str]:
    return [str(value) for value in values if value is not None and not isinstance(value, bool) and str(value)]


def _of_nobody_else(
    connection: Connection, contact_id: int, known: Mapping[str, set[str]]
) -> dict[str, frozenset[str]]:
    """The spellings that no other contact has now: what has passed to somebody else is theirs."""
    found = {}
    for field, spellings in known.items():
        column = contact.c[KEY_COLUMNS.get(field, field)]
        keys = {key_form(field, one) for one in spellings}
        others: set[str] = set(
            connection.scalars(select(column).where(column.in_(list(keys)), contact.c.contact_id != contact_id))
        )
        found[field] = frozenset(one for one in spellings if key_form(field, one) not in others)
    return found
