"""``engage-etl up`` with a source at S3: imported once, put away there, and no secret stands anywhere (R40, R41)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from engage_etl.settings import Settings
from engage_etl.store.imports import Import, list_imports
from engage_etl_tests.importing import Importing
from engage_etl_tests.scenarios.service import running
from engage_etl_tests.sources.services import SECRET, Bucket, s3_service
from engage_etl_tests.waiting import wait_for

pytestmark = pytest.mark.scenario

AUTOMATIONS = """
automations:
  - name: crm
    group: Newsletter
    source: s3://{bucket}/in
    additional-parameters:
      source-use-customeridentifier: "true"
  - name: locked
    group: Newsletter
    source: sftp://ann@127.0.0.1:1/in
"""


@pytest.fixture
def bucket(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A bucket whose key stands in the secrets file, and nowhere in the environment."""
    with s3_service() as made:
        secrets = tmp_path / "secrets.yaml"
        secrets.write_text(
            f"s3://{made.name}:\n  access-key-id: engage\n  secret-access-key: {SECRET}\n  region: us-east-1\n"
            f"sftp://ann@127.0.0.1:1:\n  password: {SECRET}\n"
        )
        secrets.chmod(0o600)
        monkeypatch.setenv("ENGAGE_SECRETS_FILE", str(secrets))
        monkeypatch.setenv("ENGAGE_S3_ENDPOINT_URL", made.endpoint)
        monkeypatch.setenv("ENGAGE_REMOTE_INTERVAL", "1")
        settings.root.mkdir(parents=True, exist_ok=True)
        settings.automations_file.write_text(AUTOMATIONS.format(bucket=made.name))
        yield made


def dropped(importing: Importing) -> dict[str, Import]:
    with importing.store.engine.connect() as connection:
        return {entry.file: entry for entry in list_imports(connection, automation="crm")}


def everything(settings: Settings) -> Iterator[tuple[str, str]]:
    """All that is kept, by where it is: rows of the store and of Dagster, files of the data folder."""
    assert settings.database_url is not None
    for name in (None, settings.dagster_database):
        with psycopg.connect(settings.database_url, **({"dbname": name} if name else {})) as connection:
            tables = connection.execute(
                "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            ).fetchall()
            for table in tables:
                rows = connection.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(*table)))
                yield ".".join(table), "\n".join(row for (row,) in rows)
    for file in settings.root.rglob("*"):
        if file.is_file():
            yield str(file), file.read_bytes().decode("latin-1")


def test_objects_are_imported_once_put_away_and_no_secret_is_left_anywhere(
    importing: Importing, settings: Settings, bucket: Bucket, tmp_path: Path
) -> None:
    log = tmp_path / "up.log"
    with running(settings, log) as service:
        bucket.put("in/one.csv", "user.Identifier,user.Email\n1,csv@x.org\n")
        bucket.put("in/broken.csv", "user.Identifier,user.Emial\n1,a@x.org\n")
        ends = {"one.csv": ["SUCCESS"], "broken.csv": ["FAILURE"]}
        wait_for("two runs that ended", lambda: service.runs() == ends)
        wait_for("both put away", lambda: all(key.count("/") == 4 for key in bucket.list_keys()))
        ticks = service.ask(
            '{ sensorOrError(sensorSelector: {repositoryName: "__repository__", repositoryLocationName: '
            '"engage_etl.definitions", sensorName: "drop_folder"}) { ... on Sensor { sensorState { ticks(limit: 50) '
            "{ skipReason cursor } } } } }"
        )
        assert service.end() == 0
    entries = dropped(importing)
    assert bucket.list_keys() == sorted(
        [
            f"in/done/crm/{entries['one.csv'].import_id}/one.csv",
            f"in/failed/crm/{entries['broken.csv'].import_id}/broken.csv",
        ]
    )
    assert importing.column("identifier", "email") == [("1", "csv@x.org")]
    said = str(ticks)
    assert "sftp://ann@127.0.0.1:1 does not answer" in said
    kept = dict(everything(settings))
    assert any("s3://" in text for text in kept.values())
    assert [place for place, text in [*kept.items(), ("log", log.read_text()), ("ticks", said)] if SECRET in text] == []
