"""``engage-etl up``: dropped files are imported, each exactly once, also across a crash (R40)."""

from __future__ import annotations

import urllib.error
from pathlib import Path

import pytest
from sqlalchemy import text

from engage_etl.reports.page_file import page_address
from engage_etl.settings import Settings
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, list_imports
from engage_etl_tests.importing import Importing
from engage_etl_tests.scenarios.service import drop, running
from engage_etl_tests.waiting import wait_for

pytestmark = pytest.mark.scenario

AUTOMATIONS = """
automations:
  - name: nightly-crm
    group: Newsletter
    source: drop/nightly-crm
    additional-parameters:
      source-use-customeridentifier: "true"
  - name: spelled-wrong
    group: Newsletter
    source: drop/spelled-wrong
    additional-parameters:
      source-use-customeridentifier: "True"
"""
XML = "<userdata><list><user><identifier>2</identifier><email>xml@x.org</email></user></list></userdata>"


@pytest.fixture
def folder(importing: Importing, settings: Settings) -> Path:
    """A drop folder with its automation, over a contact with identifier 1."""
    importing.seed("user.Email,user.Identifier\nold@x.org,1\n")
    settings.automations_file.write_text(AUTOMATIONS)
    source = settings.drop_dir / "nightly-crm"
    source.mkdir(parents=True)
    return source


def dropped(store: Store) -> dict[str, Import]:
    with store.engine.connect() as connection:
        return {entry.file: entry for entry in list_imports(connection, automation="nightly-crm")}


def test_dropped_files_are_applied_and_a_broken_one_ends_in_failed(
    importing: Importing, settings: Settings, folder: Path, tmp_path: Path
) -> None:
    with running(settings, tmp_path / "up.log") as service:
        drop("user.Identifier,user.Email\n1,csv@x.org\n", folder / "one.csv")
        drop(XML, folder / "two.xml")
        drop("user.Identifier,user.Emial\n1,a@x.org\n", folder / "broken.csv")
        ends = {"one.csv": ["SUCCESS"], "two.xml": ["SUCCESS"], "broken.csv": ["FAILURE"]}
        wait_for("three runs that ended", lambda: service.runs() == ends)
        assert service.started_by_the_run_server() == set(ends)
        entries = dropped(importing.store)
        broken = service.page(page_address(entries["broken.csv"].import_id))
        assert "&#39;user.Emial&#39;" in broken and "then drop the file again" in broken
        assert 'engage_imports{automation="nightly-crm",status="failed"} 1' in service.page("/metrics")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            service.page("/reports/no.such.import")
        assert "spelled-wrong" not in service.page("/reports/..%2f..%2fautomations.yaml")
        assert service.end() == 0
    assert "Stack Trace" not in (tmp_path / "up.log").read_text()
    assert importing.column("identifier", "email") == [("1", "csv@x.org"), ("2", "xml@x.org")]
    assert [entries[name].status for name in ends] == ["applied", "applied", "failed"]
    for name, ended in (("one.csv", "done"), ("two.xml", "done"), ("broken.csv", "failed")):
        kept = settings.root / ended / "nightly-crm" / entries[name].import_id
        assert (kept / name).is_file() and (kept / "report" / "summary.json").is_file()
    assert "'user.Emial'" in (entries["broken.csv"].error_message or "")
    assert [file.name for file in folder.iterdir()] == [".claimed"]


def test_a_daemon_killed_between_registering_and_running_imports_each_file_once(
    importing: Importing, settings: Settings, folder: Path, tmp_path: Path
) -> None:
    log = tmp_path / "up.log"
    with importing.store.engine.connect() as other:
        # However slow the machine is, nothing is applied before everything is killed.
        other.execute(text("SELECT * FROM engage.contact FOR UPDATE"))
        with running(settings, log) as service:
            drop("user.Identifier,user.Email\n1,csv@x.org\n", folder / "one.csv")
            drop(XML, folder / "two.xml")
            wait_for("a registered file", lambda: dropped(importing.store))
            service.kill()
        assert not any(entry.status == "applied" for entry in dropped(importing.store).values())
    log.unlink()
    with running(settings, log) as service:
        wait_for(
            "both files applied",
            lambda: [entry.status for entry in dropped(importing.store).values()] == ["applied"] * 2,
        )
        wait_for("runs that ended", lambda: all("STARTED" not in ends for ends in service.runs().values()))
        ends = service.runs()
        assert {name: found.count("SUCCESS") for name, found in ends.items()} == {"one.csv": 1, "two.xml": 1}, ends
        assert service.end() == 0
    assert importing.column("identifier", "email") == [("1", "csv@x.org"), ("2", "xml@x.org")]
    with importing.store.engine.connect() as connection:
        assert len(list_imports(connection, automation="nightly-crm")) == 2
    assert [len(contact["history"]) for contact in importing.contacts(history=True)] == [2, 1]
