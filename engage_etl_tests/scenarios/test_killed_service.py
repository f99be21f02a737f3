"""``engage-etl up`` that is killed while a run is at work, or whose daemon is: nothing hangs, nothing is left over (R40)."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from engage_etl.settings import Settings
from engage_etl.store.imports import Import, list_imports
from engage_etl.vocabulary.outcomes import Status
from engage_etl_tests.importing import Importing
from engage_etl_tests.scenarios.service import drop, running
from engage_etl_tests.waiting import LONGEST, wait_for

pytestmark = pytest.mark.scenario

AUTOMATIONS = """
automations:
  - name: crm
    group: Newsletter
    source: drop/crm
"""
ROWS = 30_000


@pytest.fixture
def folder(settings: Settings) -> Path:
    """The drop folder of the automation ``crm``."""
    source = settings.drop_dir / "crm"
    source.mkdir(parents=True)
    settings.automations_file.write_text(AUTOMATIONS)
    return source


def dropped(importing: Importing) -> list[Import]:
    with importing.store.engine.connect() as connection:
        return list_imports(connection, automation="crm")


def test_r40_killed_while_a_run_is_at_work(
    importing: Importing, settings: Settings, folder: Path, tmp_path: Path
) -> None:
    log = tmp_path / "up.log"
    addresses = "".join(f"a{number}@example.org\n" for number in range(ROWS))
    with running(settings, log) as service:
        drop(f"user.Email\n{addresses}", folder / "contacts.csv")
        wait_for("a run at work", lambda: "STARTED" in service.runs().get("contacts.csv", []))
        service.kill()
    [entry] = dropped(importing)
    assert entry.status is not Status.APPLIED
    log.unlink()
    with running(settings, log) as service:
        ended = ["SUCCESS", "FAILURE"]
        wait_for("a second run that succeeds", lambda: service.runs()["contacts.csv"] == ended)
        assert service.end() == 0
    [entry] = dropped(importing)
    assert (entry.status, entry.attempts, entry.created) == (Status.APPLIED, 2, ROWS)
    assert not entry.arrived_path.exists()


def test_a_daemon_that_dies_ends_the_service_and_leaves_no_process(
    importing: Importing, settings: Settings, folder: Path, tmp_path: Path
) -> None:
    with running(settings, tmp_path / "up.log") as service:
        processes = psutil.Process(service.process.pid).children(recursive=True)
        service.daemon().kill()
        assert service.process.wait(timeout=LONGEST) == 1
    assert "The daemon ended by itself" in (tmp_path / "up.log").read_text()
    _, alive = psutil.wait_procs(processes, timeout=LONGEST)
    assert alive == []


def test_a_port_that_is_taken_gets_a_sentence(settings: Settings, importing: Importing, tmp_path: Path) -> None:
    with running(settings, tmp_path / "up.log") as service:
        second = service.again(tmp_path / "second.log")
        assert second.wait(timeout=LONGEST) == 2
        processes = psutil.Process(service.process.pid).children(recursive=True)
        assert service.end() == 0
    assert f"127.0.0.1:{service.port} cannot be used" in (tmp_path / "second.log").read_text()
    _, alive = psutil.wait_procs(processes, timeout=LONGEST)
    assert alive == []
