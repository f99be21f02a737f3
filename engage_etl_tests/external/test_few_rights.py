"""On PostgreSQL 15, as a user who owns nothing: all that the program does, and nothing more (decision 0024)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from engage_etl.erasure.erasing import forget
from engage_etl.errors import StoreUnavailable
from engage_etl.settings import Settings
from engage_etl.stage_run import revert_and_finish
from engage_etl.store.engine import Store, open_store, store_status, upgrade_store
from engage_etl.store.partitions import make_partitions
from engage_etl.store.statistics import analyze
from engage_etl.store.tables import contact, plan_row
from engage_etl_tests.cli.commands import engage_etl
from engage_etl_tests.external.conftest import IMPORTER, MIGRATOR
from engage_etl_tests.external.servers import Server, debian_server
from engage_etl_tests.importing import GROUP, Importing
from engage_etl_tests.marts.building import build_with_dbt_alone, read
from engage_etl_tests.match_plan.loading import import_as_large, with_several_row_groups
from engage_etl_tests.retention.ageing import NoRuns as NoRunsToRemove
from engage_etl_tests.retention.ageing import plan_on, retain
from engage_etl_tests.scenarios.full_of_features import file, fill, options

KEPT = ("contact_id", "identifier", "email", "mobile_number", "first_name", "groups", "custom")


class NoRuns(NoRunsToRemove):
    """No runs of Dagster."""

    def remove_naming(self, *_: object, **__: object) -> int:
        return 0


def test_an_import_with_everything_in_it_its_revert_and_an_erasure(importing: Importing) -> None:
    fill(importing, 3)
    before = [[one.get(name) for name in KEPT] for one in importing.contacts()]
    entry = importing(file(3), **options())
    assert (entry.status, entry.created, entry.updated) == ("applied", 6, 18), importing.rows(entry)
    assert revert_and_finish(importing.store, entry.import_id, "ann").status == "applied"
    assert [[one.get(name) for name in KEPT] for one in importing.contacts()] == before
    contact_id = before[0][0]
    forget(importing.store, NoRuns(), contact_id, by="the test")
    assert contact_id not in [one["contact_id"] for one in importing.contacts()]


def test_a_large_file_is_loaded_over_several_connections(importing: Importing, monkeypatch: pytest.MonkeyPatch) -> None:
    with_several_row_groups(monkeypatch)
    fill(importing, 3)
    assert import_as_large(importing, file(3), **options()).status == "applied"


def test_what_is_done_every_night(importing: Importing, store: Store) -> None:
    """Months are made and dropped, statistics gathered: all that the owner of a table alone may do."""
    entry = importing("user.Email,user.Identifier\nann@x.org,1\n")
    plan_on(store, entry.import_id, "2026-01-05")
    with store.engine.begin() as connection:
        assert make_partitions(connection, 5) != []
        for table in (contact, plan_row):
            analyze(connection, table)
        analyzed = "SELECT reltuples FROM pg_class WHERE oid = 'engage.contact'::regclass"
        assert connection.scalar(text(analyzed)) == 1
    retain(store, 400)
    with store.engine.connect() as connection:
        assert connection.scalar(text("SELECT to_regclass('engage.plan_row_2026_01')")) is None


def test_commands_of_people_and_the_marts(importing: Importing, settings: Settings, tmp_path: Path) -> None:
    source = tmp_path / "crm.csv"
    source.write_text("user.Email,user.Identifier\nann@x.org,1\n")
    given = ("--group", GROUP, "--use-external-identifier", "--approval", "required", "--json")
    waiting = engage_etl(settings, "import", source, *given)
    assert waiting.json["status"] == "waiting_for_approval", waiting.err
    approved = engage_etl(settings, "imports", "approve", waiting.json["import_id"], "--by", "Bob", "--json")
    assert (approved.code, approved.json["status"]) == (0, "applied"), approved.err
    build_with_dbt_alone(importing.store, tmp_path)
    assert [row["email"] for row in read(importing.store)["contact_current"]] == ["ann@x.org"]
    [found] = importing.contacts()
    forget(importing.store, NoRuns(), found["contact_id"], by="the test")
    assert read(importing.store)["contact_current"] == []


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE engage.contact",
        "DROP TABLE engage.plan_row CASCADE",
        "ALTER TABLE engage.contact ADD COLUMN mine text",
        "ALTER TABLE engage.contact DISABLE TRIGGER ALL",
        "TRUNCATE engage.contact_change",
        "CREATE TABLE engage.mine (x int)",
        "CREATE INDEX ON engage.contact (email_key)",
        "DROP FUNCTION engage.note_write() CASCADE",
        "UPDATE engage.alembic_version SET version_num = 'x'",
        "SELECT engage.set_up_application()",
        "SELECT engage.gather_statistics('pg_authid')",
        "GRANT SELECT ON engage.contact TO PUBLIC",
        "CREATE TABLE engage_loading.mine (x int)",
        "SELECT engage_loading.set_up()",
    ],
)
def test_what_the_application_may_not_do(store: Store, statement: str) -> None:
    refused = "permission denied|must be owner|no statistics are gathered|no privileges were granted"
    with store.engine.begin() as connection, pytest.raises(Exception, match=refused) as raised:
        connection.execute(text(statement))
        # GRANT by somebody without any right to grant only warns.
        granted = "SELECT has_table_privilege('pg_monitor', 'engage.contact', 'SELECT')"
        assert connection.scalar(text(granted)), "no privileges were granted"
    assert not isinstance(raised.value, AssertionError) or "GRANT" in statement


def test_an_upgrade_is_of_another_user(settings: Settings, debian: Server) -> None:
    with psycopg.connect((settings.database_url or "").replace(IMPORTER, MIGRATOR), autocommit=True) as owner:
        owner.execute("DROP SCHEMA engage, engage_loading, audit CASCADE")
    with pytest.raises(StoreUnavailable, match=r"'importer' lacks rights .* as the owner of the database"):
        upgrade_store(settings)
    owning = (settings.database_url or "").replace(IMPORTER, MIGRATOR)
    upgrade_store(settings.model_copy(update={"migration_url": owning}))
    open_store(settings).dispose()
    assert store_status(settings)["user"] == "importer, a member of engage_app"
    as_owner = settings.model_copy(update={"database_url": owning})
    assert store_status(as_owner)["user"] == "migrator, who may change the store itself"


@pytest.fixture
def managed() -> Iterator[Server]:
    """A server whose administrators make roles themselves, and on which there are none of ours yet."""
    with debian_server("managed", {"shared_buffers": "32MB"}, {}) as server:
        with server.connect() as connection:
            connection.execute("CREATE ROLE modest LOGIN")
            connection.execute("CREATE ROLE importer LOGIN")
            connection.execute("CREATE DATABASE crm OWNER modest")
        yield server


def test_where_roles_cannot_be_made_an_administrator_is_told_what_to_run(managed: Server, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, database_url=managed.url("modest", "crm"))
    said = engage_etl(settings, "db", "upgrade")
    assert said.code == 0 and "may not make roles" in said.err
    assert said.out.splitlines() == [
        "CREATE ROLE engage_reader NOLOGIN;",
        "CREATE ROLE engage_dbt NOLOGIN;",
        "CREATE ROLE engage_app NOLOGIN;",
        "GRANT engage_reader TO engage_dbt;",
        "GRANT engage_dbt TO engage_app;",
        "GRANT engage_dbt TO modest;",
    ]
    with managed.connect() as connection:
        for statement in [*said.out.splitlines(), "GRANT engage_app TO importer;"]:
            connection.execute(statement)  # type: ignore[call-overload]
    again = engage_etl(settings, "db", "upgrade")
    assert (again.code, again.out) == (0, "")
    with open_store(Settings(data_dir=tmp_path / "data", database_url=managed.url("importer", "crm"))) as store:
        importing = Importing.prepare(store, tmp_path / "files")
        assert importing.seed("user.Email,user.Identifier\nann@x.org,1\n").created == 1
        with store.engine.begin() as connection, pytest.raises(ProgrammingError, match="must be owner"):
            connection.execute(text("DROP TABLE engage.contact"))
