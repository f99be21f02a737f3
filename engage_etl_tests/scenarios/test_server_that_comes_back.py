"""``engage-etl up`` while the PostgreSQL server goes away and comes back: the run at work waits for it and goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from engage_etl.settings import Settings
from engage_etl.store.embedded import EmbeddedServer
from engage_etl.store.imports import list_imports
from engage_etl_tests.conftest import stoppable_server, with_template
from engage_etl_tests.importing import Importing
from engage_etl_tests.scenarios.service import drop, running
from engage_etl_tests.scenarios.striking import waiting_for
from engage_etl_tests.waiting import wait_for

pytestmark = pytest.mark.scenario

AUTOMATIONS = "automations:\n  - {name: crm, group: Newsletter, source: drop/crm}\n"


@pytest.fixture(scope="module")
def embedded() -> Iterator[EmbeddedServer]:
    with stoppable_server("back") as started:
        yield started


@pytest.fixture(scope="module")
def server(embedded: EmbeddedServer) -> str:
    return with_template(embedded)


def statuses(importing: Importing) -> list[str]:
    with importing.store.engine.connect() as connection:
        return [entry.status.value for entry in list_imports(connection, automation="crm")]


def waits_for_contacts(importing: Importing) -> bool:
    with importing.store.engine.connect() as connection:
        return connection.exec_driver_sql(waiting_for("contact")).scalar() is not None


def test_a_server_that_is_stopped_while_a_run_is_at_work(
    importing: Importing, settings: Settings, embedded: EmbeddedServer, tmp_path: Path
) -> None:
    folder = settings.drop_dir / "crm"
    folder.mkdir(parents=True)
    settings.automations_file.write_text(AUTOMATIONS)
    with running(settings, tmp_path / "up.log") as service:
        other = importing.store.engine.connect()
        # However slow the machine is, nothing is applied before the server is stopped.
        other.exec_driver_sql("LOCK TABLE engage.contact IN ROW EXCLUSIVE MODE")
        drop("user.Email\na@x.org\n", folder / "contacts.csv")
        # Between the stages Dagster writes its events; a run that loses its connection in there fails, and is asked for anew.
        wait_for("the apply to be at work", lambda: waits_for_contacts(importing))
        cluster = embedded.ensure_running()
        assert cluster.run("pg_ctl", "stop", "-D", cluster.folder, "-m", "immediate", "-w").returncode == 0
        with pytest.raises(OperationalError):
            other.exec_driver_sql("SELECT 1")
        other.close()
        embedded.ensure_running()
        wait_for("the import to be applied", lambda: statuses(importing) == ["applied"])
        wait_for("its run to end", lambda: service.runs() == {"contacts.csv": ["SUCCESS"]})
        assert service.end() == 0
    assert importing.column("email") == [("a@x.org",)]
    assert [len(contact["history"]) for contact in importing.contacts(history=True)] == [1]
