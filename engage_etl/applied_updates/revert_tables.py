"""The temporary tables that a revert is worked out in; they live as long as its transaction."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Connection, DateTime, Index, Integer, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

WHOLE = "contact"
"""In place of a field: the contact as a whole, which the import created, or its revert removed."""

REMOVED = "removed"
"""Outcome of a change in the history that removes a contact; the others are those of rows."""

_WORKING = MetaData()


class Result(StrEnum):
    """What becomes of a change that is to be taken back."""

    RESTORED = "restored"
    KEPT = "kept"
    FAILED = "failed"


def _working_table(name: str, *columns: Column[Any]) -> Table:
    return Table(name, _WORKING, *columns, prefixes=["TEMPORARY"], postgresql_on_commit="DROP")


past_change = _working_table(
    "past_change",
    Column("row", BigInteger),
    Column("contact_id", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Column("outcome", Text, nullable=False),
    Column("changes", JSONB, nullable=False),
)
"""The history of the import that is undone, one row per contact, apart from that of all others."""

email_form = _working_table(
    "email_form",
    Column("value", Text(collation="C"), nullable=False),
    Column("form", Text(collation="C"), nullable=False),
)
Index("ix_email_form_value", email_form.c.value, postgresql_using="hash")
"""Comparison forms of e-mail addresses that are not ASCII, as Python computes them (R13)."""

past_value = _working_table(
    "past_value",
    Column("contact_id", BigInteger, nullable=False),
    Column("row", BigInteger),
    Column("field", Text(collation="C"), nullable=False),
    Column("name_key", Text(collation="C"), comment="of a custom or member attribute"),
    Column("before", JSONB, comment="what is to be restored"),
    Column("given", JSONB, comment="what the import gave"),
    Column("now", JSONB),
    Column("address_key", Text(collation="C"), comment="comparison form of an address that the contact takes (R11)"),
    Column("result", Text, nullable=False),
    Column("message", Text, comment="why it is kept or failed"),
)
"""What is counted: one row for each field, attribute or membership that the import changed, and for each whole contact."""

taken_back = _working_table(
    "taken_back",
    Column("contact_id", BigInteger, nullable=False),
    Column("field", Text(collation="C"), nullable=False),
    Column("holder_id", BigInteger, nullable=False),
    Column("is_kept", Boolean, nullable=False, comment="the holder does not give it up"),
)
"""Addresses that contacts take back and that another contact holds now; all others are free (R11)."""

left_as_is = _working_table(
    "left_as_is",
    Column("contact_id", BigInteger, nullable=False),
    Column("problem", Text),
)
"""Contacts whose addresses cannot be restored."""


def create_revert_tables(connection: Connection) -> None:
    """Create the tables, empty."""
    _WORKING.create_all(connection, checkfirst=False)
