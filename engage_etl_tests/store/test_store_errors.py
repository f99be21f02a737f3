"""A store that cannot be used says what is wrong and what to do, and never a password."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from engage_etl.errors import DataFolderUnusable, SchemaMismatch, ServerTooOld, StoreUnavailable, UsageError
from engage_etl.settings import Settings, load_settings
from engage_etl.store import engine as engine_module
from engage_etl.store.cluster import ROLE, locate_cluster
from engage_etl.store.engine import (
    Store,
    dagster_database_url,
    embedded_server,
    open_store,
    store_status,
    store_url,
    upgrade_store,
)
from engage_etl.store.schema import head_revision
from engage_etl.store.tables import LOADING, SCHEMA

PASSWORD = "sw0rd/fish@"
QUOTED = "sw0rd%2Ffish%40"


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port on which nobody answers: bound, not listening."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.mark.parametrize("use", [open_store, store_status, upgrade_store, dagster_database_url])
def test_a_server_that_does_not_answer(silent_port: int, use: object) -> None:
    settings = Settings(database_url=f"postgresql://ann:{QUOTED}@127.0.0.1:{silent_port}/engage", connect_timeout=2)
    with pytest.raises(StoreUnavailable) as raised:
        use(settings)  # type: ignore[operator]
    assert f"127.0.0.1:{silent_port}/engage does not answer" in str(raised.value)
    assert PASSWORD not in str(raised.value) and QUOTED not in str(raised.value)
    assert raised.value.__suppress_context__


def test_a_database_that_does_not_exist(settings: Settings) -> None:
    address = settings.database_url or ""
    server, _, query = address.partition("?")
    missing = f"{server.rpartition('/')[0]}/nowhere?{query}"
    with pytest.raises(StoreUnavailable, match="nowhere"):
        open_store(Settings(database_url=missing))


@pytest.mark.parametrize(
    "url",
    ["", "nonsense", f"http://ann:{QUOTED}@host/engage", f"postgresql://ann:{QUOTED}@host", f"postgresql://ann:{QUOTED}@host/",
     f"mysql://ann:{QUOTED}@host/engage", f"postgresql://ann:{QUOTED}@host:port/engage", "postgresql://"],
)  # fmt: skip
def test_an_address_that_cannot_be_read(url: str) -> None:
    with pytest.raises(UsageError, match="ENGAGE_DATABASE_URL") as raised:
        store_url(Settings(database_url=url))
    assert PASSWORD not in str(raised.value) and QUOTED not in str(raised.value)
    assert "expected postgresql://user:password@host:port/database" in str(raised.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"])
def test_every_spelling_of_the_scheme(scheme: str) -> None:
    assert store_url(Settings(database_url=f"{scheme}://a@b/c")).drivername == "postgresql+psycopg"


def test_a_server_that_is_too_old(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "server_version", lambda _: 14)
    with pytest.raises(ServerTooOld, match="is PostgreSQL 14; Engage ETL needs 15 or later"):
        open_store(settings)


def test_an_external_store_is_not_upgraded_unasked(store: Store, settings: Settings) -> None:
    with store.engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {SCHEMA}, {LOADING}, audit CASCADE"))
    with pytest.raises(SchemaMismatch, match=r"schema none, .* needs .*; run `engage-etl db upgrade`"):
        open_store(settings)
    assert upgrade_store(settings).revision == head_revision()
    open_store(settings).dispose()


def test_a_schema_that_is_newer_than_the_program(store: Store, settings: Settings) -> None:
    with store.engine.begin() as connection:
        connection.execute(text(f"UPDATE {SCHEMA}.alembic_version SET version_num = '9999'"))
    for use in (open_store, upgrade_store):
        with pytest.raises(SchemaMismatch, match=r"9999, which is newer .* update Engage ETL"):
            use(settings)


def test_the_status_of_a_store(settings: Settings) -> None:
    status = store_status(settings)
    assert (status["store"], status["schema"], status["program"]) == ("external", head_revision(), head_revision())
    assert status["server"].startswith("PostgreSQL ")


def test_an_external_installation_has_no_embedded_server(settings: Settings) -> None:
    with pytest.raises(UsageError, match="there is no embedded one"):
        embedded_server(settings)


@pytest.mark.parametrize("name", ["dagster", "dagster_2"])
def test_dagsters_database_is_made_once(settings: Settings, name: str) -> None:
    own = settings.model_copy(update={"dagster_database": f"{name}_{os.urandom(4).hex()}"})
    first, second = dagster_database_url(own), dagster_database_url(own)
    assert first == second
    host = (settings.database_url or "").rpartition("host=")[2]
    with psycopg.connect(f"host={host} user={ROLE} dbname=postgres", autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{own.dagster_database}"')


def test_a_setting_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGE_CONNECT_TIMEOUT", "soon")
    with pytest.raises(UsageError, match="ENGAGE_CONNECT_TIMEOUT"):
        load_settings()


def test_a_data_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    with pytest.raises(DataFolderUnusable, match="ENGAGE_DATA_DIR"):
        locate_cluster(tmp_path / "data")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_data_folder_that_an_ordinary_user_may_not_write() -> None:
    folder = Path(tempfile.mkdtemp(prefix="engage-readonly-"))
    folder.chmod(0o755)
    program = (
        "import os, sys; sys.path[:] = eval(sys.argv[2]); from pathlib import Path; import engage_etl.store.cluster as c;"
        "from engage_etl.errors import DataFolderUnusable\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: c.locate_cluster(Path(sys.argv[1]))\n"
        "except DataFolderUnusable as error: print(error)"
    )
    try:
        for data in (folder, folder / "data"):
            command = [sys.executable, "-c", program, str(data), repr(sys.path)]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
            assert "cannot be written (Permission denied)" in ended.stdout, ended.stderr
            assert str(data) in ended.stdout
    finally:
        folder.rmdir()
