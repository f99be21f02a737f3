"""An installation whose Dagster has a database of its own, so that it knows nothing of other tests."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from engage_etl.settings import Settings


@contextmanager
def own_dagster(settings: Settings) -> Iterator[Settings]:
    """Settings of such an installation; its database is dropped at the end."""
    name = f"dagster_{uuid.uuid4().hex[:12]}"
    try:
        yield settings.model_copy(update={"dagster_database": name})
    finally:
        assert settings.database_url is not None
        with psycopg.connect(settings.database_url, dbname="postgres", autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
