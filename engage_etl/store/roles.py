"""The role that imports and owns nothing, and what an administrator has to do where roles cannot be made (decision 0024)."""

from __future__ import annotations

from sqlalchemy import Boolean, Connection, String, column, func, select, table

from engage_etl.store.readers import BUILDER, READER
from engage_etl.store.tables import LOADING, SCHEMA, contact

APPLICATION = "engage_app"
"""Role that imports, reverts, forgets and removes; it owns nothing. Users of the program become members of it."""

_MEMBERS = ((READER, BUILDER), (BUILDER, APPLICATION))
"""Which role is granted to which."""

_roles = table("pg_roles", column("rolname", String), column("rolsuper", Boolean), schema="pg_catalog")
_tables = table("pg_tables", *(column(name, String) for name in ("schemaname", "tablename", "tableowner")))


def set_up_application(connection: Connection) -> bool:
    """Make the role if it lacks, and give it its rights on all that the store has now; repeatable.

    Returns:
        False if the user may not do so on this server; what lacks is left as it is.
    """
    is_set_up = connection.scalar(select(getattr(func, SCHEMA).set_up_application()))
    may_load = connection.scalar(select(getattr(func, LOADING).set_up()))
    return bool(is_set_up and may_load)


def lacking_statements(connection: Connection) -> list[str]:
    """The SQL by which an administrator makes up for what the user may not do: roles, and who is a member of which.

    Afterwards the upgrade is run once more.
    """
    ours = (READER, BUILDER, APPLICATION)
    known: set[str] = set(connection.scalars(select(_roles.c.rolname).where(_roles.c.rolname.in_(ours))))
    lacking = [f"CREATE ROLE {role} NOLOGIN;" for role in ours if role not in known]
    for granted, member in _MEMBERS:
        if not {granted, member} <= known or not connection.scalar(select(func.pg_has_role(member, granted, "USAGE"))):
            lacking.append(f"GRANT {granted} TO {member};")
    if BUILDER not in known or not connection.scalar(select(func.pg_has_role(BUILDER, "USAGE"))):
        lacking.append(f"GRANT {BUILDER} TO {_quoted_user(connection)};")
    return lacking


def role_of_user(connection: Connection) -> str:
    """What the user of a connection may do with the store."""
    name = connection.execute(select(func.current_user())).scalar_one()
    is_here = (_tables.c.schemaname == SCHEMA) & (_tables.c.tablename == contact.name)
    owner = connection.scalar(select(_tables.c.tableowner).where(is_here))
    if owner is not None and connection.scalar(select(func.pg_has_role(owner, "MEMBER"))):
        return f"{name}, who may change the store itself"
    is_member = select(func.pg_has_role(_roles.c.rolname, "USAGE")).where(_roles.c.rolname == APPLICATION)
    return (
        f"{name}, a member of {APPLICATION}"
        if connection.scalar(is_member)
        else f"{name}, not a member of {APPLICATION}"
    )


def _quoted_user(connection: Connection) -> str:
    return str(connection.scalar(select(func.quote_ident(func.current_user()))))
