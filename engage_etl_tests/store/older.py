"""A store as an older program has left it."""

from __future__ import annotations

from sqlalchemy import Connection, text


def set_back(connection: Connection, revision: str) -> None:
    """Have the store say that it has this revision, without what later ones make and cannot make twice."""
    connection.execute(text("UPDATE engage.alembic_version SET version_num = :revision"), {"revision": revision})
    connection.execute(text("DROP SCHEMA engage_loading CASCADE"))
