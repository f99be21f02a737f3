"""R35, R40: what waits for a person keeps its file, holds up nobody, and is taken up once it is approved."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from engage_etl import stage_run
from engage_etl.applied_updates.stage import approve_plan
from engage_etl.store.approvals import find_approval
from engage_etl.store.groups import create_group
from engage_etl.store.imports import Import
from engage_etl.triggers.approving import APPLY_PLAN
from engage_etl.triggers.jobs import IMPORT_CONTACTS, import_definitions
from engage_etl_tests.triggers.conftest import AUTOMATIONS
from engage_etl_tests.triggers.dropping import Sensor, add_run

CONTENT = "user.Identifier,user.Email\n1,a@x.org\n"
SUCCESS, FAILURE, CANCELED, LIVE = (dg.DagsterRunStatus[name] for name in ("SUCCESS", "FAILURE", "CANCELED", "STARTED"))
BY_SENSOR = {"dagster/sensor_name": "drop_folder"}


@pytest.fixture
def sensor(store: object, instance: dg.DagsterInstance) -> Sensor:
    found = Sensor(store, instance)  # type: ignore[arg-type]
    with found.store.engine.begin() as connection:
        create_group(connection, "Newsletter")
    return found


def drop(sensor: Sensor, folder: Path, name: str, option: str) -> Import:
    """A file of an automation with one more option, imported as far as it goes."""
    sensor.store.settings.automations_file.write_text(AUTOMATIONS.replace("    pattern", f"    {option}\n    pattern"))
    entry = sensor.take(folder / name, CONTENT)
    run(sensor, entry)
    return sensor.entry(entry.import_id)


def run(sensor: Sensor, entry: Import, request: dg.RunRequest | None = None) -> bool:
    """Run an import as the sensor asks for it."""
    sensor.instance.add_dynamic_partitions("import_id", [entry.import_id])
    job = import_definitions().resolve_job_def(IMPORT_CONTACTS)
    tags = BY_SENSOR | (dict(request.tags) if request else {})
    selection = request.asset_selection if request else None
    result = job.execute_in_process(
        instance=sensor.instance,
        partition_key=entry.import_id,
        tags=tags,
        asset_selection=selection,
        raise_on_error=False,
    )
    return result.success


def requests(sensor: Sensor) -> list[dg.RunRequest]:
    return list(sensor.tick().run_requests or [])


WAITS = [("approval: required", "waiting_for_approval"), ("max-changed: 0", "stopped")]


@pytest.mark.parametrize(("option", "status"), WAITS)
def test_it_keeps_its_file_and_no_other_run_is_asked_for(
    sensor: Sensor, folder: Path, option: str, status: str
) -> None:
    entry = drop(sensor, folder, "contacts.csv", option)
    assert entry.status == status
    assert requests(sensor) == []
    assert entry.arrived_path.read_text() == CONTENT
    assert (sensor.entry(entry.import_id).settled_path, entry.report) == (None, f"reports/{entry.import_id}")


@pytest.mark.parametrize(("option", "status"), WAITS)
def test_the_next_file_of_its_automation_is_imported_meanwhile(
    sensor: Sensor, folder: Path, option: str, status: str
) -> None:
    drop(sensor, folder, "first.csv", option)
    after = drop(sensor, folder, "second.csv", "active: true")
    assert after.status == "applied"
    assert Path(after.settled_path or "").parts[-4:-1] == ("done", "crm", after.import_id)


@pytest.mark.parametrize(("option", "status"), WAITS)
def test_approved_in_a_process_that_was_killed_it_is_applied_by_the_daemon(
    sensor: Sensor, folder: Path, option: str, status: str
) -> None:
    entry = drop(sensor, folder, "contacts.csv", option)
    approve_plan(sensor.store, entry.import_id, by="Ann")
    [request] = requests(sensor)
    assert (request.run_key, request.asset_selection) == (f"{entry.import_id}/2", [dg.AssetKey("applied_updates")])
    assert run(sensor, entry, request)
    applied = sensor.entry(entry.import_id)
    assert (applied.status, applied.plan_hash) == ("applied", entry.plan_hash)
    assert Path(applied.settled_path or "").parts[-4:-1] == ("done", "crm", entry.import_id)
    assert requests(sensor) == []


@pytest.mark.parametrize(("option", "status"), WAITS)
def test_rejected_its_file_ends_in_failed(sensor: Sensor, folder: Path, option: str, status: str) -> None:
    entry = drop(sensor, folder, "contacts.csv", option)
    stage_run.reject_and_finish(sensor.store, entry.import_id, because="the wrong file", by="Ann")
    settled = Path(sensor.entry(entry.import_id).settled_path or "")
    assert settled.parts[-4:-1] == ("failed", "crm", entry.import_id)
    assert '"plan_rejected"' in (settled.parent / "report" / "summary.json").read_text()
    assert requests(sensor) == []


def test_while_a_run_is_at_work_no_other_is_asked_for(sensor: Sensor, folder: Path) -> None:
    entry = drop(sensor, folder, "contacts.csv", "approval: required")
    approve_plan(sensor.store, entry.import_id, by="Ann")
    add_run(sensor.instance, LIVE, import_id=entry.import_id, job_name=APPLY_PLAN)
    assert requests(sensor) == []


def test_an_approval_that_cannot_be_carried_out_is_taken_back_and_the_import_waits_on(
    sensor: Sensor, folder: Path
) -> None:
    entry = drop(sensor, folder, "contacts.csv", "approval: required")
    approve_plan(sensor.store, entry.import_id, by="Ann")
    for _ in range(sensor.store.settings.run_attempts):
        [request] = requests(sensor)
        add_run(sensor.instance, FAILURE, import_id=entry.import_id, tags=dict(request.tags))
    assert requests(sensor) == []
    after = sensor.entry(entry.import_id)
    assert (after.status, after.error_code) == ("waiting_for_approval", "not_applied")
    assert "3 runs for its approved plan ended before it was applied" in (after.error_message or "")
    assert approval_of(sensor, entry) is None
    approve_plan(sensor.store, entry.import_id, by="Ann")
    assert len(requests(sensor)) == 1


def test_a_cancelled_run_takes_the_approval_back(sensor: Sensor, folder: Path) -> None:
    entry = drop(sensor, folder, "contacts.csv", "approval: required")
    approve_plan(sensor.store, entry.import_id, by="Ann")
    add_run(sensor.instance, CANCELED, import_id=entry.import_id, job_name=APPLY_PLAN)
    assert requests(sensor) == []
    assert sensor.entry(entry.import_id).status == "waiting_for_approval"
    assert approval_of(sensor, entry) is None


def test_runs_of_single_stages_do_not_use_up_the_attempts_of_an_import(sensor: Sensor, folder: Path) -> None:
    entry = sensor.take(folder / "contacts.csv", CONTENT)
    for _ in range(5):
        add_run(sensor.instance, FAILURE, import_id=entry.import_id, job_name=APPLY_PLAN)
    assert sensor.requested() == [f"{entry.import_id}/6"]


def test_a_report_that_a_killed_process_did_not_write_is_written(
    sensor: Sensor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def be_killed(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(stage_run, "write_report", be_killed)
        entry = drop(sensor, folder, "contacts.csv", "approval: required")
    assert (entry.status, entry.report) == ("waiting_for_approval", None)
    requests(sensor)
    assert sensor.entry(entry.import_id).report == f"reports/{entry.import_id}"
    assert entry.arrived_path.exists()


def test_r35_the_file_of_a_dry_run_ends_in_done(sensor: Sensor, folder: Path) -> None:
    entry = drop(sensor, folder, "contacts.csv", "dry-run: true")
    assert entry.status == "planned"
    assert Path(entry.settled_path or "").parts[-4:-1] == ("done", "crm", entry.import_id)
    assert requests(sensor) == []
    after = drop(sensor, folder, "second.csv", "active: true")
    assert after.status == "applied"


def approval_of(sensor: Sensor, entry: Import) -> object:
    with sensor.store.engine.connect() as connection:
        return find_approval(connection, entry.import_id)
