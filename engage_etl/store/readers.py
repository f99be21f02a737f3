"""Who may read the store without writing it: analysts and dbt (decision 0019)."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, column, delete, func, select, table
from sqlalchemy.schema import DropSchema

from engage_etl.store.tables import SCHEMA

READER = "engage_reader"
"""Role that may read the store, its marts and its audit functions; people become members of it."""

BUILDER = "engage_dbt"
"""Role that builds the marts: it reads the store and owns nothing but their schemas."""

MARTS = "marts"
"""Schema of the marts."""

COPIES = ("contact_changes", "contact_current")
"""The marts that hold values of contacts."""

STAGING = "marts_staging"
"""Schema of the views that stand between the store and the marts."""

_roles = table("pg_roles", column("oid"), column("rolname"), schema="pg_catalog")


def set_up_readers(connection: Connection) -> bool:
    """Make the roles that lack, and give them their rights on all that the store has now; repeatable.

    Returns:
        False if the user may not do so on this server; then nothing is changed.
    """
    return bool(connection.scalar(select(getattr(func, SCHEMA).set_up_readers())))


def drop_views_on_store(connection: Connection) -> None:
    """Drop the views that would keep a migration from changing the tables under them; the next build makes them again."""
    connection.execute(DropSchema(STAGING, cascade=True, if_exists=True))


def building_role(engine: Engine) -> str:
    """The role that dbt is to take on, or nothing where it lacks or the user is not a member of it."""
    may_become = func.pg_has_role(_roles.c.oid, "USAGE")
    query = select(_roles.c.rolname).where(_roles.c.rolname == BUILDER, may_become)
    with engine.connect() as connection:
        return connection.scalar(query) or ""


def erase_from_marts(connection: Connection, contact_id: int) -> int:
    """Take a contact out of the marts that hold clear values, at once instead of with the next build; returns the rows.

    To be called in the transaction that takes the contact and its history out of the store.
    """
    erased = 0
    for name in COPIES:
        if connection.scalar(select(func.to_regclass(f"{MARTS}.{name}"))) is not None:
            mart = table(name, column("contact_id"), schema=MARTS)
            erased += connection.execute(delete(mart).where(mart.c.contact_id == contact_id)).rowcount
    return erased
