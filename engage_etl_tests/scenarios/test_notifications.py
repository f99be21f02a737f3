"""``engage-etl up`` tells people of imports, and keeps the secrets with which it does out of all that it writes."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from engage_etl.settings import Settings
from engage_etl.store.imports import list_imports
from engage_etl_tests.importing import Importing
from engage_etl_tests.scenarios.service import drop, running
from engage_etl_tests.triggers.receiving import TOKEN, webhook
from engage_etl_tests.waiting import wait_for

pytestmark = pytest.mark.scenario

AUTOMATIONS = """
automations:
  - name: crm
    group: Newsletter
    source: drop/crm
"""
TABLES = """
    SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
"""
TICKS = """
{ sensorsOrError(repositorySelector: {repositoryName: "__repository__", repositoryLocationName: "engage_etl.definitions"}) {
    ... on Sensors { results { name sensorState { status ticks(limit: 20) { skipReason } } } } } }
"""


def everything_in(address: str, database: str) -> str:
    """All rows of all tables of a database, as text."""
    rows: list[str] = []
    with psycopg.connect(address, dbname=database) as connection:
        for schema, table in connection.execute(TABLES).fetchall():
            whole = psycopg.sql.SQL("SELECT t::text FROM {} AS t").format(psycopg.sql.Identifier(schema, table))
            rows += [str(row[0]) for row in connection.execute(whole)]
    return "\n".join(rows)


def test_a_dropped_file_that_failed_is_told_of_and_no_secret_is_written_anywhere(
    importing: Importing, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = settings.drop_dir / "crm"
    source.mkdir(parents=True)
    settings.automations_file.write_text(AUTOMATIONS)
    log = tmp_path / "up.log"
    with webhook() as hook, webhook() as refusing:
        refusing.answer = 500
        monkeypatch.setenv("ENGAGE_NOTIFY", f"{hook.address} {refusing.address}")
        with running(settings, log) as service:
            drop("user.Identifier,user.Emial\n1,a@x.org\n", source / "broken.csv")
            wait_for("a message", lambda: hook.received)
            wait_for("the tick that sent it", lambda: "json was told of 1 import" in str(service.ask(TICKS)))
            said = str(service.ask(TICKS))
            web = f"http://127.0.0.1:{service.port}"
            assert service.end() == 0
    with importing.store.engine.connect() as connection:
        [entry] = list_imports(connection, automation="crm")
    [(subject, body)] = hook.texts()
    assert subject == "Engage ETL: broken.csv failed"
    assert f"\nWeb page: {web}/assets/validated_rows?view=partitions&partition={entry.import_id}\n" in body
    assert "The message to json 2 was not accepted" in said and refusing.paths
    assert settings.database_url is not None
    name = psycopg.conninfo.conninfo_to_dict(settings.database_url)["dbname"]
    written = everything_in(settings.database_url, str(name)) + log.read_text()
    written += everything_in(settings.database_url, settings.dagster_database)
    written += "".join(file.read_text(errors="replace") for file in settings.root.rglob("*") if file.is_file())
    assert "json 2" in written and entry.import_id in written
    assert TOKEN not in written
