"""PostgreSQL's type of a snapshot of transactions, which SQLAlchemy does not have."""

from __future__ import annotations

from sqlalchemy.types import UserDefinedType


class PgSnapshot(UserDefinedType[str]):
    """``pg_snapshot``, as text in Python."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """The name of the type in SQL."""
        return "pg_snapshot"
