"""R30: ``kill -9`` of ``engage-etl import`` leaves no process and nothing half done, and both ways to go on work."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from engage_etl.settings import Settings
from engage_etl.store.cluster import ROLE
from engage_etl.triggers.instance import environment as dagster_environment
from engage_etl_tests.cli.commands import engage_etl, environment
from engage_etl_tests.importing import Importing
from engage_etl_tests.scenarios.comparing import contacts_of, everything, temporary_relations, unfinished_files
from engage_etl_tests.scenarios.forking import outliving
from engage_etl_tests.scenarios.full_of_features import Prepared, arguments, file, prepare
from engage_etl_tests.scenarios.striking import wait_for_backends
from engage_etl_tests.waiting import wait_for

pytestmark = pytest.mark.scenario
KINDS = 100
ROWS = 12 * KINDS
OTHER_WRITER = "LOCK TABLE engage.contact IN ROW EXCLUSIVE MODE"
LATEST = "SELECT import_id FROM engage.import_register WHERE status = %s ORDER BY received_at DESC LIMIT 1"
LINEAGE = "raw_file,validated_rows,match_plan,applied_updates"


@pytest.fixture
def prepared(importing: Importing, server: str) -> Prepared:
    """The same import, prepared in a store of its own."""
    return prepare(importing, KINDS, 0, f"host={server} user={ROLE}")


@pytest.fixture
def struck(prepared: Prepared, tmp_path: Path) -> Iterator[Settings]:
    """The installation whose command is killed."""
    with prepared.copied(tmp_path / "struck") as settings:
        yield settings


@pytest.fixture
def contacts(tmp_path: Path) -> Path:
    made = tmp_path / "contacts.csv"
    made.write_text(file(KINDS))
    return made


@contextmanager
def _other_writer(settings: Settings) -> Iterator[None]:
    """Somebody who keeps imports from being applied."""
    assert settings.database_url is not None
    with closing(psycopg.connect(settings.database_url)) as connection:
        connection.execute(OTHER_WRITER)
        yield


def _kill(settings: Settings, contacts: Path, status: str) -> str:
    """Import, and kill the process when the import has come to a status; returns its id."""
    assert settings.database_url is not None
    command = [sys.executable, "-m", "engage_etl.cli.main", *arguments(contacts)]
    with psycopg.connect(settings.database_url, autocommit=True) as looking:
        before = looking.execute(LATEST, [status]).fetchone()
        process = subprocess.Popen(
            command,
            env=environment(settings),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        with process:

            def reached() -> Any:
                found = looking.execute(LATEST, [status]).fetchone()
                assert process.poll() is None or found != before, process.communicate()[1]
                return found if found != before else None

            (import_id,) = wait_for(f"an import that is {status}", reached, pause=0.005)
            children = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            process.wait()
            assert outliving(process.pid, children) == []
    return str(import_id)


def _contacts(settings: Settings) -> dict[str, list[str]]:
    """Contacts, memberships and history, whatever the id of the import."""
    found = contacts_of(settings)
    return {
        table: sorted(re.sub(r"manual\.contacts\.[\w.]+", "ID", row) for row in rows) for table, rows in found.items()
    }


def _demand_all_or_nothing(importing: Importing, prepared: Prepared, settings: Settings) -> dict[str, list[str]]:
    """Returns what an import that is not killed comes to."""
    wait_for_backends(settings)
    before = _contacts(prepared.settings)
    importing.run(prepared.import_id)
    expected = _contacts(prepared.settings)
    assert before != expected
    assert _contacts(settings) in (before, expected)
    return expected


def _demand_clean(settings: Settings) -> None:
    found = everything(settings)
    assert temporary_relations(found) == unfinished_files(found) == []


@pytest.mark.parametrize("status", ["validated", "planned", "applied"])
def test_killed_and_imported_again(
    importing: Importing, prepared: Prepared, struck: Settings, contacts: Path, status: str
) -> None:
    _kill(struck, contacts, status)
    expected = _demand_all_or_nothing(importing, prepared, struck)
    again = engage_etl(struck, *arguments(contacts)).json
    outcomes = ("created", "updated", "unchanged", "skipped", "rejected")
    assert (again["status"], sum(again[outcome] for outcome in outcomes)) == ("applied", ROWS)
    assert _contacts(struck) == expected


def test_killed_and_run_again_from_the_web_page(
    importing: Importing, prepared: Prepared, struck: Settings, contacts: Path
) -> None:
    with _other_writer(struck):
        import_id = _kill(struck, contacts, "planned")
    expected = _demand_all_or_nothing(importing, prepared, struck)
    command = ["dagster", "asset", "materialize", "--select", LINEAGE, "--partition", import_id]
    again = subprocess.run(
        [sys.executable, "-m", *command, "--module-name", "engage_etl.definitions"],
        env=environment(struck) | dagster_environment(struck),
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    shown = engage_etl(struck, "imports", "show", import_id, "--json").json
    assert (shown["status"], shown["rows"], shown["drifted"]) == ("applied", ROWS, 0)
    assert _contacts(struck) == expected
    _demand_clean(struck)
