"""The temporary tables that a plan is worked out in; they live as long as the planning transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import DDL, BigInteger, Boolean, Column, Connection, Integer, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from engage_etl.store.tables import KEY_COLUMNS
from engage_etl.vocabulary.attributes import ATTRIBUTES

_WORKING = MetaData()


def _working_table(name: str, *columns: Column[Any]) -> Table:
    return Table(name, _WORKING, *columns, prefixes=["TEMPORARY"], postgresql_on_commit="DROP")


staged_row = _working_table(
    "staged_row",
    Column("row", BigInteger, nullable=False),
    Column("match_kind", Text(collation="C"), nullable=False),
    Column("match_key", Text(collation="C"), nullable=False),
    *(Column(attribute.field, Text(collation="C")) for attribute in ATTRIBUTES),
    Column("email_key", Text(collation="C")),
    Column("mobile_key", Text(collation="C")),
    Column("custom", JSONB),
    Column("member", JSONB),
    Column("warning", Text),
)
"""The valid rows of the file, as in ``valid.parquet``."""

staged_rejection = _working_table(
    "staged_rejection",
    Column("row", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("match_kind", Text(collation="C")),
    Column("match_key", Text(collation="C")),
)
"""The rows that validation rejected, as in ``rejected.parquet``."""

decision = _working_table(
    "decision",
    Column("row", BigInteger, nullable=False),
    Column("contact_id", BigInteger, comment="the one contact that matches, if one does"),
    Column("reason", Text, comment="null: the row creates or updates"),
    Column("message", Text),
    Column("is_linked", Boolean, nullable=False, comment="the contact gets the row's identifier (R12)"),
)
"""What steps 2 and 3 of the reasons decide about each valid row."""

near_miss = _working_table(
    "near_miss",
    Column("row", BigInteger, nullable=False),
    Column("identifier", Text(collation="C"), nullable=False),
)
"""For rows that no contact matches an identifier that is nearly theirs."""

row_change = _working_table(
    "row_change",
    Column("row", BigInteger, nullable=False),
    Column("contact_id", BigInteger, comment="null: the row creates one"),
    Column("contact_version", Integer),
    Column("message", Text, comment="warnings and hints"),
    Column("changes", JSONB, comment="field to [before, after]; null: none"),
    Column("custom", JSONB, comment="custom values to write, by key"),
    Column("member", JSONB, comment="member values to write, by key"),
    *(Column(key, Text(collation="C"), comment="an address that the row takes") for key in KEY_COLUMNS.values()),
)
"""What each row changes that nothing keeps from writing so far; ``*_key`` and ``app_alias`` as in R11, "takes"."""

taken_address = _working_table(
    "taken_address",
    Column("row", BigInteger, nullable=False),
    Column("kind", Text(collation="C"), nullable=False, comment="field of the address"),
    Column("key", Text(collation="C"), nullable=False, comment="comparison form (R13)"),
    Column("value", Text(collation="C"), nullable=False),
    Column("holder_id", BigInteger, comment="the contact that holds the address now"),
    Column("holder_has_identifier", Boolean),
    Column("releasing_row", BigInteger, comment="the row that gives the holder another address"),
)
"""Addresses that a row takes and that somebody holds, or several rows take: all others are free (R11)."""

address_rejection = _working_table(
    "address_rejection",
    Column("row", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("message", Text, nullable=False),
)
"""What step 4 of the reasons decides (R11)."""


_VIEW = DDL("CREATE TEMPORARY VIEW %(view)s AS SELECT * FROM %(fullname)s", context={"view": staged_row.name})


def create_working_tables(connection: Connection, loaded: Table | None) -> None:
    """Create the tables, in place of those of an earlier plan in the same transaction.

    loaded: has the valid rows already, and is seen as ``staged_row`` until ``hide_loaded``.
    """
    for table in _WORKING.sorted_tables:
        table.drop(connection, checkfirst=True)
        if table is staged_row and loaded is not None:
            connection.execute(_VIEW.against(loaded))
        else:
            table.create(connection, checkfirst=False)


def hide_loaded(connection: Connection) -> None:
    """Take away what ``loaded`` is seen through: unlike the tables, it would stay when the transaction ends."""
    connection.execute(DDL("DROP VIEW %(fullname)s").against(staged_row))
