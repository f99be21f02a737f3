"""R35, R40 with ``engage-etl up``: a file waits for its approval, the next one does not wait for it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from engage_etl.applied_updates.stage import approve_plan
from engage_etl.settings import Settings
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, list_imports
from engage_etl_tests.cli.commands import engage_etl
from engage_etl_tests.importing import Importing
from engage_etl_tests.scenarios.service import Service, drop, running
from engage_etl_tests.waiting import wait_for

pytestmark = pytest.mark.scenario

AUTOMATION = """
automations:
  - name: nightly-crm
    group: Newsletter
    source: drop/nightly-crm
    additional-parameters:
      source-use-customeridentifier: "true"
"""
WAITING = AUTOMATION + "    approval: required\n"


@pytest.fixture
def folder(importing: Importing, settings: Settings) -> Path:
    """A drop folder with its automation, over two contacts."""
    importing.seed("user.Email,user.Identifier\nold@x.org,1\nolder@x.org,2\n")
    settings.automations_file.write_text(WAITING)
    source = settings.drop_dir / "nightly-crm"
    source.mkdir(parents=True)
    return source


def has_status(store: Store, file: str, *statuses: str) -> Import | None:
    with store.engine.connect() as connection:
        found = list_imports(connection, automation="nightly-crm")
    return next((entry for entry in found if entry.file == file and entry.status in statuses), None)


def applied_meanwhile(store: Store, folder: Path) -> str:
    """Drop a file that needs no approval and wait for its end; returns its name.

    A look that began before the automation was changed may take the first one as the automation was; not the second.
    """
    for name in ("third.csv", "fourth.csv"):
        drop("user.Identifier,user.Email\n3,third@x.org\n", folder / name)
        taken = wait_for(name, partial(has_status, store, name, "applied", "waiting_for_approval"))
        if taken.status == "applied":
            return name
    raise AssertionError("no file was applied while others wait")


REPOSITORY = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"
LAUNCH = """
mutation { launchRun(executionParams: {
  selector: {repositoryLocationName: "%(location)s", repositoryName: "%(repository)s", jobName: "apply_plan"},
  runConfigData: {ops: {applied_updates: {config: {by: "Cem", plan_hash: "%(plan_hash)s"}}}},
  executionMetadata: {tags: [{key: "dagster/partition", value: "%(import_id)s"}]}
}) { __typename } }
"""


def approve_in_the_web_page(service: Service, entry: Import) -> None:
    """Start the job ``apply_plan`` as its launchpad does."""
    [repository] = service.ask(REPOSITORY)["repositoriesOrError"]["nodes"]
    names = {"location": repository["location"]["name"], "repository": repository["name"]}
    about = {"plan_hash": entry.plan_hash, "import_id": entry.import_id}
    assert service.ask(LAUNCH % (names | about))["launchRun"]["__typename"] == "LaunchRunSuccess"


def test_files_wait_and_another_is_applied_meanwhile(
    importing: Importing, settings: Settings, folder: Path, tmp_path: Path
) -> None:
    """One is approved by the command, one in the web page, one by a process that was killed before it applied it."""
    store = importing.store
    with running(settings, tmp_path / "up.log") as service:
        drop("user.Identifier,user.Email\n1,first@x.org\n", folder / "first.csv")
        drop("user.Identifier,user.Email\n2,second@x.org\n", folder / "second.csv")
        drop("user.Identifier,user.LastName\n1,Web\n", folder / "web.csv")
        first = wait_for("a plan that waits", lambda: has_status(store, "first.csv", "waiting_for_approval"))
        second = wait_for("another one", lambda: has_status(store, "second.csv", "waiting_for_approval"))
        web = wait_for("a third one", lambda: has_status(store, "web.csv", "waiting_for_approval"))
        settings.automations_file.write_text(AUTOMATION)
        third = applied_meanwhile(store, folder)
        assert importing.column("email") == [("old@x.org",), ("older@x.org",), ("third@x.org",)]
        assert first.arrived_path.is_file() and second.arrived_path.is_file()
        green = {name: ["SUCCESS"] for name in ("first.csv", "second.csv", third)}
        wait_for("three green runs", lambda: green.items() <= service.runs().items())

        approved = engage_etl(settings, "imports", "approve", first.import_id, "--by", "Ann", "--json")
        assert (approved.code, approved.json["status"]) == (0, "applied"), approved.err
        approve_in_the_web_page(service, web)
        wait_for("the file that was approved in the web page", lambda: has_status(store, "web.csv", "applied"))
        approve_plan(store, second.import_id, by="Bob")
        wait_for("the second file", lambda: has_status(store, "second.csv", "applied"))
        wait_for("its run", lambda: service.runs()["second.csv"] == ["SUCCESS"] * 2)
        assert service.end() == 0
    assert importing.column("email") == [("first@x.org",), ("second@x.org",), ("third@x.org",)]
    assert importing.column("last_name") == [("Web",), (None,), (None,)]
    for entry in (first, second, web):
        kept = settings.root / "done" / "nightly-crm" / entry.import_id
        assert (kept / entry.file).is_file() and (kept / "report" / "summary.json").is_file()
