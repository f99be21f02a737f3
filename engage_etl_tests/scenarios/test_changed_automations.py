"""Changes to ``automations.yaml`` are taken up while ``engage-etl up`` runs: schedules come, change, and go."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from engage_etl.settings import Settings
from engage_etl.store.imports import Import, list_imports
from engage_etl_tests.importing import Importing
from engage_etl_tests.scenarios.service import Service, drop, running
from engage_etl_tests.waiting import wait_for

pytestmark = [pytest.mark.scenario, pytest.mark.longest]

SHOP = "automations:\n  - {name: shop, group: Newsletter, source: drop/shop}\n"
OFTEN = '  - {name: often, group: Newsletter, source: drop/often, schedule: "* * * * *"}\n'
NIGHTLY = '  - {name: nightly-crm, group: Newsletter, source: drop/nightly, schedule: "%s", active: %s}\n'
SCHEDULES = """{ repositoriesOrError { ... on RepositoryConnection { nodes { schedules {
    name cronSchedule executionTimezone scheduleState { status ticks(limit: 20) { status skipReason runIds } } } } } } }"""


OURS = ("housekeeping", "retention")


def schedules(service: Service) -> dict[str, Any]:
    """The schedules of the automations, by name, as the web page shows them."""
    [repository] = service.ask(SCHEDULES)["repositoriesOrError"]["nodes"]
    return {one["name"]: one for one in repository["schedules"] if one["name"] not in OURS}


def states(service: Service) -> dict[str, tuple[str, str]]:
    return {name: (one["cronSchedule"], one["scheduleState"]["status"]) for name, one in schedules(service).items()}


def imports_of(importing: Importing, automation: str) -> list[Import]:
    with importing.store.engine.connect() as connection:
        return list_imports(connection, automation=automation)


def test_schedules_come_run_change_stop_and_go(importing: Importing, settings: Settings, tmp_path: Path) -> None:
    file = settings.automations_file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(SHOP)
    often = settings.drop_dir / "often"
    often.mkdir(parents=True)
    for name, modified in (("b.csv", 1), ("a.csv", 2)):
        drop(f"user.Email,user.FirstName\nx@x.org,{name}\n", often / name)
        os.utime(often / name, (modified, modified))
    with running(settings, tmp_path / "up.log") as service:
        assert states(service) == {}

        file.write_text(SHOP + OFTEN + NIGHTLY % ("0 2 * * *", "true"))
        come = {"often": ("* * * * *", "RUNNING"), "nightly_crm": ("0 2 * * *", "RUNNING")}
        wait_for("schedules that came", lambda: states(service) == come)
        wait_for("a run of both files", lambda: service.runs() == {"a.csv": ["SUCCESS"], "b.csv": ["SUCCESS"]})
        ticks = schedules(service)["often"]["scheduleState"]["ticks"]
        assert [len(tick["runIds"]) for tick in ticks if tick["status"] == "SUCCESS"] == [2]
        assert [entry.status for entry in imports_of(importing, "often")] == ["applied", "applied"]
        assert importing.column("email", "first_name") == [("x@x.org", "a.csv")]

        file.write_text(SHOP + NIGHTLY % ("0 3 * * *", "false"))
        gone = {"nightly_crm": ("0 3 * * *", "STOPPED")}
        wait_for("a schedule that went, one that changed and stopped", lambda: states(service) == gone)

        (settings.drop_dir / "shop").mkdir(exist_ok=True)
        drop("user.Email\nshop@x.org\n", settings.drop_dir / "shop" / "shop.csv")
        wait_for("a file that is imported on arrival", lambda: service.runs().get("shop.csv") == ["SUCCESS"])

        file.write_text("automations: [\n")
        said = "Automation left out: automations.yaml, line 2: the file is no YAML"
        wait_for("a file that is broken", lambda: said in (tmp_path / "up.log").read_text())
        assert states(service) == gone
        file.write_text(SHOP + NIGHTLY % ("0 3 * * *", "true"))
        back = {"nightly_crm": ("0 3 * * *", "RUNNING")}
        wait_for("a schedule that is back", lambda: states(service) == back)
        assert service.end() == 0
