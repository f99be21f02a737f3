"""R40: imports of one automation one at a time, in the order of arrival, even if a run dies; those of others beside them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import text

from engage_etl.settings import Settings
from engage_etl.store.imports import Import, list_imports
from engage_etl_tests.importing import Importing
from engage_etl_tests.scenarios.service import running
from engage_etl_tests.waiting import wait_for

pytestmark = pytest.mark.scenario

AUTOMATIONS = """
automations:
  - name: crm
    group: Newsletter
    source: drop/crm
    additional-parameters: {source-use-customeridentifier: "true"}
  - name: shop
    group: Newsletter
    source: drop/shop
    additional-parameters: {source-use-customeridentifier: "true"}
"""
ARRIVALS = {
    "crm/c.csv": "user.Identifier,user.FirstName\n1,first\n",
    "crm/a.csv": "user.Identifier,user.Unknown\n1,never\n",
    "crm/b.csv": "user.Identifier,user.FirstName\n1,third\n",
    "shop/s.csv": "user.Identifier,user.LastName\n1,Shop\n",
}
"""In the order of their modification times, which is not that of their names. The run of the first is killed, the second is wrong."""


def entries(importing: Importing) -> dict[str, Import]:
    with importing.store.engine.connect() as connection:
        return {entry.file: entry for entry in list_imports(connection) if entry.automation}


def test_r40_one_at_a_time_in_order_though_a_run_is_killed(
    importing: Importing, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGAGE_CONCURRENT_RUNS", "4")
    importing.seed("user.Email,user.Identifier\na@x.org,1\n")
    settings.drop_dir.mkdir(parents=True)
    settings.automations_file.write_text(AUTOMATIONS)
    for moment, (name, content) in enumerate(ARRIVALS.items(), 1_000_000):
        file = settings.drop_dir / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(content)
        os.utime(file, (moment, moment))
    with running(settings, tmp_path / "up.log") as service:
        with importing.store.engine.connect() as other:
            other.execute(text("SELECT * FROM engage.contact FOR UPDATE"))

            def both_wait() -> dict[str, Import] | None:
                """The last in the queue has come to its apply, so that nothing kept those between from beginning."""
                found = entries(importing)
                planned = {name for name, entry in found.items() if entry.status == "planned"}
                return found if planned >= {"c.csv", "s.csv"} else None

            held = wait_for("the first of each automation to be planned", both_wait)
            assert [held[name].status for name in ("a.csv", "b.csv")] == ["received"] * 2
            killed = service.run_processes()
            for one in killed:
                one.kill()
            other.rollback()
        wait_for("all imports to end", lambda: _have_ended(entries(importing)))
        assert (len(killed), service.runs()["c.csv"]) == (2, ["SUCCESS", "FAILURE"])
        assert service.end() == 0
    found = entries(importing)
    assert {name: entry.status for name, entry in found.items() if entry.status != "applied"} == {"a.csv": "failed"}
    first, last = found["c.csv"], found["b.csv"]
    assert first.applied_at is not None and last.planned_at is not None and first.applied_at < last.planned_at
    assert importing.column("first_name", "last_name") == [("third", "Shop")]


def _have_ended(found: dict[str, Import]) -> bool:
    return all(entry.settled_path is not None for entry in found.values())
