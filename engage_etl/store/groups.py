"""Groups: named lists of contacts (R22)."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select
from sqlalchemy.exc import IntegrityError

from engage_etl.errors import FileError, FileErrorCode, GroupExists, GroupUnknown, UsageError
from engage_etl.store.tables import contact_group, membership
from engage_etl.vocabulary.comparison import group_key


@dataclass(frozen=True)
class Group:
    """A group. members: number of contacts in it."""

    group_id: int
    name: str
    members: int
    created_at: datetime


def create_group(connection: Connection, name: str) -> str:
    """Create an empty group; returns its name, which is the given one without space around it.

    Raises:
        UsageError: the name is blank, or has control characters.
        GroupExists: there is one with this name, compared regardless of case (R22).
    """
    name = name.strip(" ")
    if not name or not name.isprintable():
        raise UsageError("A group needs a name that is not blank and has no control characters.")
    try:
        with connection.begin_nested():
            connection.execute(insert(contact_group).values(name=name, name_key=group_key(name)))
    except IntegrityError:
        raise GroupExists(
            f"There is a group {name!r} already (names compare regardless of case and of space around them)."
        ) from None
    return name


def list_groups(connection: Connection) -> list[Group]:
    """All groups with their numbers of members, by name."""
    members = func.count(membership.c.contact_id)
    query = (
        select(contact_group.c.group_id, contact_group.c.name, members, contact_group.c.created_at)
        .outerjoin(membership, membership.c.group_id == contact_group.c.group_id)
        .group_by(contact_group.c.group_id)
        .order_by(contact_group.c.name)
    )
    return [Group(*row) for row in connection.execute(query).tuples()]


def require_group(connection: Connection, name: str, *, file: str) -> tuple[int, str]:
    """Id and name of the group that an import names, compared regardless of case (R22).

    file: name of the import's file, for the message.

    Raises:
        FileError: there is no such group, so nothing of the file is read.
    """
    found = _find_group(connection, name)
    if found is None:
        raise FileError(
            FileErrorCode.GROUP_UNKNOWN,
            f"{file}: there is no group {name!r}, so nothing was read. Create it with `engage-etl groups create`, "
            f"or name one of `engage-etl groups list`.{_hint(connection, name)}",
        )
    return found


def named_group(connection: Connection, name: str) -> int:
    """Id of the group that a command names, compared regardless of case (R22).

    Raises:
        GroupUnknown: there is none; the sentence has the nearest name.
    """
    found = _find_group(connection, name)
    if found is None:
        raise GroupUnknown(
            f"There is no group {name!r}; `engage-etl groups list` names those there are.{_hint(connection, name)}"
        )
    return found[0]


def _find_group(connection: Connection, name: str) -> tuple[int, str] | None:
    query = select(contact_group.c.group_id, contact_group.c.name).where(contact_group.c.name_key == group_key(name))
    found = connection.execute(query).tuples().one_or_none()
    return (found[0], found[1]) if found is not None else None


def _hint(connection: Connection, name: str) -> str:
    """The group whose name is nearest, as a question; nothing where none is near."""
    names: dict[str, str] = dict(
        connection.execute(select(contact_group.c.name_key, contact_group.c.name)).tuples().all()
    )
    near = difflib.get_close_matches(group_key(name), names, n=1, cutoff=0.5)
    return f" Did you mean {names[near[0]]!r}?" if near else ""
