"""What Dagster loads: the names that scripts and people rely on, and how little loading them needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engage_etl.settings import Settings
from engage_etl.triggers.automation_checks import TAKEN_NAMES
from engage_etl_tests.cli.commands import environment

LIST_ALL = """
import json, sys
from engage_etl.definitions import defs
repository = defs.get_repository_def()
graph = repository.asset_graph
nodes = {key.to_user_string(): graph.get(key) for key in graph.get_all_asset_keys()}
stages = [node for node in nodes.values() if node.group_name == "contact_import"]
keys = {node.key for node in stages}
checks = [graph.get_check_spec(key) for key in graph.asset_check_keys if key.asset_key in keys]
jobs = {name: defs.get_job_def(name).asset_layer for name in ("import_contacts", "plan_import", "apply_plan")}
housekeeping = [node.name for node in defs.get_job_def("housekeeping").nodes]
print(json.dumps({
    "assets": {name: sorted(key.to_user_string() for key in node.parent_keys) for name, node in nodes.items()},
    "partitions": sorted({node.partitions_def.name for node in stages}),
    "owners": sorted({", ".join(node.owners) for node in nodes.values()}),
    "undescribed": [name for name, node in nodes.items() if "**Red?**" not in node.description],
    "unlabelled": [name for name, node in nodes.items() if not (node.kinds and node.group_name and "layer" in node.tags)],
    "unexplained": [str(key) for key in graph.asset_check_keys if not graph.get_check_spec(key).description],
    "says_what_to_do": [check.name for check in checks if "Red:" in check.description or "Yellow:" in check.description],
    "checks": {check.name: check.blocking for check in checks},
    "jobs": {name: sorted(key.to_user_string() for key in job.executable_asset_keys) for name, job in jobs.items()},
    "sensors": {sensor.name: sensor.default_status.value for sensor in repository.sensor_defs},
    "housekeeping": sorted(housekeeping),
    "all_jobs": sorted(job.name for job in repository.get_all_jobs() if not job.name.startswith("__")),
    "schedules": [schedule.name for schedule in repository.schedule_defs],
    "loaded": sorted({"pandas", "pandera", "pyarrow", "lxml", "dbt", "apprise"} & set(sys.modules)),
}))
"""
STAGES = ["applied_updates", "match_plan", "raw_file", "validated_rows"]


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What ``engage_etl.definitions`` has, loaded where the store cannot be reached."""
    folder = tmp_path_factory.mktemp("installation")
    ended = load(LIST_ALL, Settings(data_dir=folder, database_url="postgresql://nobody@127.0.0.1:1/engage"))
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def load(program: str, settings: Settings) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own on an installation."""
    return subprocess.run(
        [sys.executable, "-c", program], env=environment(settings), capture_output=True, text=True, check=False
    )


def test_the_four_stages_stand_in_a_line(listed: dict[str, Any]) -> None:
    assert {name: parents for name, parents in listed["assets"].items() if name in STAGES} == {
        "raw_file": [],
        "validated_rows": ["raw_file"],
        "match_plan": ["validated_rows"],
        "applied_updates": ["match_plan"],
    }


def test_the_dbt_models_come_after_them(listed: dict[str, Any]) -> None:
    models = {name: parents for name, parents in listed["assets"].items() if name not in STAGES}
    staging = {name for name in models if name.startswith("stg_")}
    assert [models[name] for name in staging] == [["applied_updates"]] * len(staging)
    assert models["imports"] == ["stg_imports"]
    assert all(set(parents) <= models.keys() for name, parents in models.items() if name not in staging)


def test_every_asset_has_its_owners_and_what_to_do_when_it_is_red(listed: dict[str, Any]) -> None:
    assert (listed["partitions"], listed["owners"]) == (["import_id"], ["team:engage-etl"])
    assert listed["undescribed"] == []


def test_every_asset_has_kinds_group_and_tags_and_every_check_says_what_it_is(listed: dict[str, Any]) -> None:
    assert (listed["unlabelled"], listed["unexplained"]) == ([], [])
    assert sorted(listed["says_what_to_do"]) == sorted(listed["checks"])


def test_r34_r38_only_the_brakes_and_the_count_of_rows_block(listed: dict[str, Any]) -> None:
    assert listed["checks"] == {
        "rows_accounted_for": True,
        "max_rejected": True,
        "max_changed": True,
        "unmatched_share": False,
        "file_like_the_last_one": False,
    }


def test_jobs_sensors_and_schedules(listed: dict[str, Any]) -> None:
    assert listed["jobs"] == {
        "import_contacts": STAGES,
        "plan_import": ["match_plan", "raw_file", "validated_rows"],
        "apply_plan": ["applied_updates"],
    }
    assert listed["sensors"] == {
        "drop_folder": "RUNNING",
        "late_files": "RUNNING",
        "marts": "RUNNING",
        "notifications": "STOPPED",
    }
    assert listed["all_jobs"] == [
        "apply_plan",
        "housekeeping",
        "import_contacts",
        "plan_import",
        "retention",
        "revert_import",
    ]
    assert sorted(listed["schedules"]) == ["housekeeping", "retention"]
    assert listed["housekeeping"] == ["analyze_partitioned_tables", "make_partitions_ahead"]


def test_loading_needs_no_store_and_no_heavy_library(listed: dict[str, Any]) -> None:
    assert listed["loaded"] == []


def test_a_wrong_automations_file_does_not_keep_dagster_from_loading(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    settings.automations_file.write_text("automations: [\n")
    ended = load("import engage_etl.definitions", settings)
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr


def test_no_name_of_ours_is_left_to_the_schedule_of_an_automation(listed: dict[str, Any]) -> None:
    ours = {*listed["sensors"], *listed["schedules"]}
    assert ours <= set(TAKEN_NAMES)


def test_an_automation_with_a_cron_line_is_a_schedule(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    settings.automations_file.write_text(
        "automations:\n  - {name: nightly-crm, group: G, source: drop/crm, schedule: '0 2 * * *'}\n"
    )
    listed = json.loads(load(LIST_ALL, settings).stdout)
    assert sorted(listed["schedules"]) == ["housekeeping", "nightly_crm", "retention"]
    assert listed["assets"]["automation/nightly_crm"] == []
    assert listed["loaded"] == []
