"""R41: under the usual umask of 022, nobody but the owner can read what an installation leaves, or enter its folders.

And no secret of the installation stands in what it leaves, in the data folder or in Dagster's database.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from engage_etl.settings import Settings
from engage_etl.store.cluster import make_data_folder
from engage_etl.store.engine import Store
from engage_etl.store.imports import list_imports
from engage_etl_tests.cli.commands import engage_etl
from engage_etl_tests.importing import GROUP, Importing
from engage_etl_tests.scenarios.service import Service, drop, running
from engage_etl_tests.sources.services import SECRET
from engage_etl_tests.waiting import wait_for

pytestmark = [pytest.mark.scenario, pytest.mark.longest]

AUTOMATION = """
automations:
  - name: crm
    group: Newsletter
    source: drop/crm
    additional-parameters:
      source-use-customeridentifier: "true"
"""
SECRETS = {
    "ENGAGE_NOTIFY": f"json://127.0.0.1:9/{SECRET}",
    "ENGAGE_PGP_PASSPHRASE": SECRET,
    "ENGAGE_SFTP_PASSPHRASE": SECRET,
    "AWS_SECRET_ACCESS_KEY": SECRET,
}
CHANGES = "user.Identifier,user.Email\n1,new@x.org\n2,\n"


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def too_open(folder: Path) -> list[str]:
    """What others could read or enter, as paths below ``folder`` with their modes."""
    found = [folder, *folder.rglob("*")]
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in found if not path.is_symlink()}
    return [f"{path.relative_to(folder)} {mode:o}" for path, mode in modes.items() if mode & 0o077]


def with_password(settings: Settings) -> Settings:
    """The same installation, whose server is told a password, for which it does not ask."""
    assert settings.database_url is not None
    given = settings.database_url.replace("@/", f":{SECRET}@/", 1)
    assert SECRET in given
    return settings.model_copy(update={"database_url": given})


def rows_with_secrets(settings: Settings, database: str) -> list[str]:
    """Rows of any table of a database in which the secret stands: runs, tags, events, snapshots of jobs."""
    assert settings.database_url is not None
    found = []
    with psycopg.connect(settings.database_url, dbname=database) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        assert len(tables) > 10
        for schema, table in tables:
            query = sql.SQL("SELECT row::text FROM {} AS row WHERE position(%s in row::text) > 0")
            found += connection.execute(query.format(sql.Identifier(schema, table)), [SECRET]).fetchall()
    return [text for (text,) in found]


def store_database(settings: Settings) -> str:
    """Name of the database of the store."""
    assert settings.database_url is not None
    return settings.database_url.partition("@/")[2].partition("?")[0]


def files_with_secrets(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


def has_ended(store: Store, service: Service) -> bool:
    with store.engine.connect() as connection:
        statuses = {entry.file: entry.status for entry in list_imports(connection, automation="crm")}
    if statuses != {"good.csv": "applied", "bad.csv": "failed"}:
        return False
    marts = service.ask("{ runsOrError { ... on Runs { results { jobName status } } } }")["runsOrError"]["results"]
    ended = {"SUCCESS", "FAILURE"}
    return len(marts) > 2 and all(run["status"] in ended for run in marts)


def test_nothing_of_an_installation_is_open_to_others_and_no_secret_is_kept(
    importing: Importing, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    importing.seed("user.Email,user.Identifier\nold@x.org,1\n")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    own = with_password(settings.model_copy(update={"data_dir": tmp_path / "installation"}))
    by_hand = tmp_path / "by-hand.csv"
    by_hand.write_text(CHANGES)
    exported = tmp_path / "contacts.csv"
    options = ("--group", GROUP, "--use-external-identifier")
    assert engage_etl(own, "import", by_hand, *options).code == 0
    assert engage_etl(own, "import", by_hand, *options, "--approval", "required").code == 1
    assert engage_etl(own, "contacts", "export", exported).code == 0
    own.automations_file.write_text(AUTOMATION)
    own.automations_file.chmod(0o600)
    with running(own, tmp_path / "up.log") as service:
        folder = own.drop_dir / "crm"
        drop(CHANGES, folder / "good.csv")
        drop("user.Wrong\n", folder / "bad.csv")
        wait_for("both files and the marts", lambda: has_ended(importing.store, service))
        assert service.end() == 0
    # The files that others dropped keep their mode, in a folder that others cannot enter.
    assert [path for path in too_open(own.root) if "good.csv" not in path and "bad.csv" not in path] == []
    assert {path.split("/")[0] for path in too_open(own.root)} <= {"done", "failed"}
    kept = {path.name for path in own.root.iterdir()}
    assert {"dagster", "done", "drop", "failed", "imports", "reports"} <= kept
    assert stat.S_IMODE(exported.stat().st_mode) == 0o600
    assert rows_with_secrets(settings, own.dagster_database) == []
    assert rows_with_secrets(settings, store_database(settings)) == []
    assert files_with_secrets(tmp_path) == []  # the log of the service too


def test_a_data_folder_is_its_owners(tmp_path: Path) -> None:
    """Root's can be passed through, by the account of its server, and looked into by nobody."""
    folder = tmp_path / "new" / "data"
    make_data_folder(folder)
    expected = 0o711 if os.geteuid() == 0 else 0o700
    assert [stat.S_IMODE(part.stat().st_mode) for part in (folder.parent, folder)] == [expected, expected]


def test_a_data_folder_that_exists_stays_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    make_data_folder(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o750


def test_a_secret_in_a_run_would_be_found(settings: Settings, store: Store) -> None:
    """The other test looks for it in the same way."""
    from engage_etl.triggers.instance import open_instance

    with open_instance(settings) as instance:
        assert rows_with_secrets(settings, settings.dagster_database) == []
        instance.add_dynamic_partitions("import_id", [SECRET])
    assert len(rows_with_secrets(settings, settings.dagster_database)) == 1
