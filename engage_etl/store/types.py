"""Types of PostgreSQL that SQLAlchemy does not have."""

from __future__ import annotations

from sqlalchemy.types import UserDefinedType


class Xid8(UserDefinedType[str]):
    """``xid8``, the number of a transaction, as text in Python."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """The name of the type in SQL."""
        return "xid8"


class PgSnapshot(UserDefinedType[str]):
    """``pg_snapshot``, which transactions are seen, as text in Python."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """The name of the type in SQL."""
        return "pg_snapshot"
