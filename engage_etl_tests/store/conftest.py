"""Databases that are not as the program leaves them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from engage_etl.settings import Settings
from engage_etl.store.cluster import ROLE


@pytest.fixture
def unmigrated(server: str) -> Iterator[Settings]:
    """The settings of an installation whose database has no schema yet."""
    name = f"empty_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(f"host={server} user={ROLE} dbname=postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield Settings(database_url=f"postgresql://{ROLE}@/{name}?host={server}")
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
