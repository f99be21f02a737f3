"""One PostgreSQL 15 for these tests, with users as in a company: one owns the store, another one imports."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from psycopg import sql

from engage_etl.settings import Settings
from engage_etl.store.engine import upgrade_store
from engage_etl_tests.external.certificates import Authority, make_authority
from engage_etl_tests.external.servers import PASSWORD, Server, debian_server

TEMPLATE = "engage_template"
MIGRATOR = "migrator"
"""Owns the database and the store, may make roles, is no superuser."""

IMPORTER = "importer"
"""A member of engage_app; owns nothing of the store."""


@pytest.fixture(scope="session")
def authority() -> Authority:
    return make_authority("Authority of the tests")


@pytest.fixture(scope="session")
def debian(authority: Authority) -> Iterator[Server]:
    """The server, with a template database whose store the migrator has made."""
    certificate, key = authority.sign("localhost", address="127.0.0.1")
    files = {"server.crt": certificate, "server.key": key}
    with debian_server("fifteen", {"ssl": "on"}, files) as server:
        with server.connect() as connection:
            connection.execute(f"CREATE ROLE {MIGRATOR} LOGIN CREATEROLE PASSWORD '{PASSWORD}'")
            connection.execute(f"CREATE ROLE {IMPORTER} LOGIN PASSWORD '{PASSWORD}'")
            connection.execute(f"CREATE DATABASE {TEMPLATE} OWNER {MIGRATOR}")
            upgraded = upgrade_store(Settings(database_url=server.url(MIGRATOR, TEMPLATE)))
            assert upgraded.lacking == []
            connection.execute(f"GRANT engage_app TO {IMPORTER}")
        yield server


@pytest.fixture
def server(debian: Server) -> str:
    """What fixtures of all tests take the server to be."""
    return str(debian.folder)


@contextmanager
def own_databases(debian: Server, data_dir: Path) -> Iterator[Settings]:
    """The settings of an installation of the importer, with an empty store and a database for Dagster of its own."""
    name = uuid.uuid4().hex[:12]
    store, dagster = sql.Identifier(f"test_{name}"), sql.Identifier(f"dagster_{name}")
    with debian.connect() as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(
            store, sql.Identifier(TEMPLATE), sql.Identifier(MIGRATOR)))  # fmt: skip
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(dagster, sql.Identifier(IMPORTER)))
    url = debian.url(IMPORTER, store._obj[0])
    yield Settings(data_dir=data_dir, database_url=url, dagster_database=dagster._obj[0])
    # A new connection: the test may have restarted the server.
    with debian.connect() as connection:
        for database in (store, dagster):
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))


@pytest.fixture
def settings(debian: Server, tmp_path: Path) -> Iterator[Settings]:
    """The settings of an installation with an empty store of its own, of which its user owns nothing."""
    with own_databases(debian, tmp_path / "data") as own:
        yield own
