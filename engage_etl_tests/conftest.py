"""One embedded server for the whole test run, and for each test a store of its own, copied from a template."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import psycopg
import pytest
from psycopg import sql

from engage_etl.settings import Settings
from engage_etl.store.cluster import ROLE
from engage_etl.store.embedded import EmbeddedServer
from engage_etl.store.engine import Store, connect_engine, open_store
from engage_etl.store.schema import upgrade
from engage_etl_tests.importing import Importing

SERVER_FOLDER = "ENGAGE_TESTS_SERVER"
TEMPLATE = "engage_template"

# The examples of a test share its store, which each fills anew; how fast the machine is says nothing of the code.
hypothesis.settings.register_profile(
    "engage",
    hypothesis.settings(
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
    ),
)
hypothesis.settings.load_profile("engage")


def pytest_configure(config: pytest.Config) -> None:
    """The process that starts the workers makes the folder of the server; they inherit its name."""
    for name in [name for name in os.environ if name.startswith("ENGAGE_") and name != SERVER_FOLDER]:
        del os.environ[name]
    if SERVER_FOLDER not in os.environ:
        folder = tempfile.mkdtemp(prefix="engage-tests-")
        Path(folder).chmod(0o755)
        os.environ[SERVER_FOLDER] = folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that takes as long as hundreds of others begins first: the other workers have enough to do meanwhile."""
    items.sort(key=lambda item: item.get_closest_marker("longest") is None)


def pytest_unconfigure(config: pytest.Config) -> None:
    """The process that made the folder stops the server and removes it."""
    if hasattr(config, "workerinput") or SERVER_FOLDER not in os.environ:
        return
    folder = Path(os.environ.pop(SERVER_FOLDER))
    if (folder / "postgres").exists():
        _server(folder).stop(even_if_used=True)
    shutil.rmtree(folder)


def _server(folder: Path) -> EmbeddedServer:
    return EmbeddedServer(folder, shared_buffers="256MB", fsync=False)


@contextmanager
def process_put_back() -> Iterator[None]:
    """Put environment and umask of the process back as they were.

    To open Dagster's instance sets variables, which the tests that follow would take for settings; to load our definitions
    lets nobody else read what is written, among them the servers of the tests.
    """
    before, mask = dict(os.environ), os.umask(0o022)
    os.umask(mask)
    try:
        yield
    finally:
        os.umask(mask)
        if os.environ != before:
            os.environ.clear()
            os.environ.update(before)


@pytest.fixture(autouse=True)
def put_back_after_the_test() -> Iterator[None]:
    """What a test does to its process ends with it."""
    with process_put_back():
        yield


@pytest.fixture(autouse=True, scope="module")
def put_back_after_the_module() -> Iterator[None]:
    """What the fixtures of a module do to the process ends with it."""
    with process_put_back():
        yield


@pytest.fixture(scope="session")
def server() -> str:
    """The address of the server without database, with a migrated template database on it."""
    return with_template(_server(Path(os.environ[SERVER_FOLDER])))


@contextmanager
def stoppable_server(name: str) -> Iterator[EmbeddedServer]:
    """A server of its own, which tests may stop: with fsync, as without it commits of the last moment are lost then."""
    folder = Path(tempfile.mkdtemp(prefix=f"engage-{name}-"))
    folder.chmod(0o755)
    started = EmbeddedServer(folder, shared_buffers="64MB")
    try:
        yield started
    finally:
        started.remove()
        folder.rmdir()


def with_template(embedded: EmbeddedServer) -> str:
    """Start a server, with a migrated template database on it; returns the folder of its sockets."""
    cluster = embedded.ensure_running()
    address = f"host={cluster.sockets} user={ROLE}"
    with psycopg.connect(f"{address} dbname=postgres", autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(1)")
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [TEMPLATE]).fetchone()
        if found is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier("unfinished")))
            engine = connect_engine(Settings(database_url=_url(str(cluster.sockets), "unfinished")))
            upgrade(engine)
            engine.dispose()
            connection.execute(sql.SQL("ALTER DATABASE unfinished RENAME TO {}").format(sql.Identifier(TEMPLATE)))
    return str(cluster.sockets)


def _url(sockets: str, database: str) -> str:
    return f"postgresql://{ROLE}@/{database}?host={sockets}"


@contextmanager
def own_store(server: str, data_dir: Path) -> Iterator[Settings]:
    """The settings of an installation with an empty store, copied from the template and dropped at the end."""
    name = sql.Identifier(f"test_{uuid.uuid4().hex[:12]}")
    address = f"host={server} user={ROLE} dbname=postgres"
    with psycopg.connect(address, autocommit=True) as connection:
        # Copying files takes a fifth of the time of writing them to the log.
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
        connection.execute(copy.format(name, sql.Identifier(TEMPLATE)))
    yield Settings(data_dir=data_dir, database_url=_url(server, name._obj[0]))
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture
def settings(server: str, tmp_path: Path) -> Iterator[Settings]:
    """The settings of an installation with an empty store of its own."""
    with own_store(server, tmp_path / "data") as own:
        yield own


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """An open store with no contacts and no groups."""
    with open_store(settings) as opened:
        yield opened


@pytest.fixture
def importing(store: Store, tmp_path: Path) -> Importing:
    """Imports files into the store, stage by stage, with a group to import into."""
    return Importing.prepare(store, tmp_path / "files")
