"""Groups: named lists of contacts (R22)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select
from sqlalchemy.exc import IntegrityError

from engage_etl.errors import FileError, FileErrorCode, GroupExists, UsageError
from engage_etl.store.tables import contact_group, membership
from engage_etl.vocabulary.comparison import group_key


@dataclass(frozen=True)
class Group:
    """A group. members: number of contacts in it."""

    group_id: int
    name: str
    members: int
    created_at: datetime


def create_group(connection: Connection, name: str) -> None:
    """Create an empty group.

    Raises:
        UsageError: the name is blank, or has control characters.
        GroupExists: there is one with this name, compared regardless of case (R22).
    """
    if not name.strip() or not name.isprintable():
        raise UsageError("A group needs a name that is not blank and has no control characters.")
    try:
        with connection.begin_nested():
            connection.execute(insert(contact_group).values(name=name, name_key=group_key(name)))
    except IntegrityError:
        raise GroupExists(f"There is a group {name!r} already (names compare regardless of case).") from None


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
    query = select(contact_group.c.group_id, contact_group.c.name).where(contact_group.c.name_key == group_key(name))
    found = connection.execute(query).one_or_none()
    if found is None:
        raise FileError(
            FileErrorCode.GROUP_UNKNOWN,
            f"{file}: there is no group {name!r}, so nothing was read. "
            "Create it with `engage-etl groups create`, or name one of `engage-etl groups list`.",
        )
    return found.group_id, found.name
