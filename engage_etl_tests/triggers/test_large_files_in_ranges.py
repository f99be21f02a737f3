"""A large file in several steps, some at the same time: the same asset, the same outcome, the same sentence (R4, R24, R30)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import pytest

from engage_etl.errors import FileError, FileErrorCode, ImportBusy, UsageError
from engage_etl.raw_file.stage import archive_raw_file
from engage_etl.settings import Settings
from engage_etl.stage_run import finish_import, import_stage
from engage_etl.store.imports import Import, import_lock, is_alive, mark_failed
from engage_etl.validated_rows.stage import check_range, divide_rows, join_ranges, validate_rows
from engage_etl_tests.cli.commands import environment
from engage_etl_tests.importing import Importing
from engage_etl_tests.triggers.ranged_job import ranged_job

HEADER = "user.Identifier,user.Email,user.CustomAttribute.x\n"
ROWS = HEADER + "".join(f"{n},{'wrong' if n % 9 == 5 else f'u{n}@x.org'},x{n}\n" for n in range(100))
BROKEN = ROWS + '100,"u100@x.org\n'


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Every file is large, and has ten chunks."""
    return settings.model_copy(update={"ranges_from": 0, "range_bytes": 1000, "chunk_rows": 10})


def registered(importing: Importing, content: str, **options: str) -> Import:
    return importing.entry(importing.register(content, max_rejected="100%", **options))


def in_this_process(instance: dg.DagsterInstance, entry: Import) -> dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions("import_id", [entry.import_id])
    return ranged_job().execute_in_process(instance=instance, partition_key=entry.import_id, raise_on_error=False)


def steps(events: list[dg.DagsterEvent]) -> list[str]:
    return [str(event.step_key) for event in events if event.is_step_success]


def metadata(events: list[dg.DagsterEvent]) -> Mapping[str, dg.MetadataValue]:
    (found,) = [
        event.materialization.metadata
        for event in events
        if event.is_step_materialization and event.asset_key == dg.AssetKey("validated_rows")
    ]
    return found


@pytest.fixture
def of_tests(monkeypatch: pytest.MonkeyPatch, dagster_settings: Settings) -> None:
    """Assets read the settings from the environment."""
    sizes = {name: str(getattr(dagster_settings, name)) for name in ("ranges_from", "range_bytes", "chunk_rows")}
    for name, value in environment(dagster_settings).items():
        monkeypatch.setenv(name, value)
    for name, value in sizes.items():
        monkeypatch.setenv(f"ENGAGE_{name.upper()}", value)


def test_a_large_file_has_a_step_for_each_range(
    importing: Importing, instance: dg.DagsterInstance, of_tests: None
) -> None:
    whole = importing(ROWS, max_rejected="100%")
    entry = registered(importing, ROWS.replace("@x.org", "@y.org"))
    result = in_this_process(instance, entry)
    done = steps(result.all_events)
    ranges = [step for step in done if "check_range" in step]
    assert len(ranges) > 1
    assert [step for step in done if step not in ranges] == [
        "raw_file",
        "validated_rows.find_ranges",
        "validated_rows.join_ranges",
        "match_plan",
        "applied_updates",
    ]
    shown = metadata(result.all_events)
    assert [shown[name].value for name in ("rows", "valid", "rejected")] == [100, 89, 11]
    assert {"sample", "reasons", "dagster/column_schema", "duration_seconds"} <= shown.keys()
    judged = [
        event.event_specific_data for event in result.all_events if event.event_type_value == "ASSET_CHECK_EVALUATION"
    ]
    assert ("validated_rows", "file_like_the_last_one") in {
        (check.asset_key.path[-1], check.check_name) for check in judged
    }
    ended = importing.entry(entry.import_id)
    assert (ended.status, ended.rows, ended.reasons) == ("applied", whole.rows, whole.reasons)
    left = importing.store.settings.import_dir(entry.import_id)
    assert sorted(file.name for file in left.iterdir()) == ["raw", "rejected.parquet", "stage.json", "valid.parquet"]


@pytest.mark.longest
def test_each_step_in_a_process_of_its_own(
    importing: Importing, instance: dg.DagsterInstance, dagster_settings: Settings, of_tests: None
) -> None:
    entry = registered(importing, ROWS)
    instance.add_dynamic_partitions("import_id", [entry.import_id])
    job = dg.reconstructable(ranged_job)
    with dg.execute_job(
        job,
        instance=instance,
        tags={"dagster/partition": entry.import_id},
        run_config={"execution": {"config": {"max_concurrent": 2}}},
    ) as result:
        assert result.success
        events = [log.dagster_event for log in instance.all_logs(result.run_id)]
    ended = [event for event in events if event is not None and event.is_step_success]
    assert len({event.pid for event in ended}) == len(ended) == 7
    assert importing.entry(entry.import_id).status == "applied"


def test_a_small_file_is_checked_by_the_first_step(
    importing: Importing, instance: dg.DagsterInstance, of_tests: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGAGE_RANGES_FROM", str(len(ROWS) + 1))
    result = in_this_process(instance, entry := registered(importing, ROWS))
    assert not any("check_range" in step for step in steps(result.all_events))
    assert metadata(result.all_events)["rows"].value == 100
    assert importing.entry(entry.import_id).status == "applied"


def test_r24_what_is_wrong_with_the_file_is_said_as_in_one_piece(
    importing: Importing, instance: dg.DagsterInstance, of_tests: None
) -> None:
    broken = registered(importing, BROKEN)
    result = in_this_process(instance, broken)
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    with pytest.raises(FileError) as whole:
        importing(BROKEN)
    ended = importing.entry(broken.import_id)
    assert failure.user_failure_data is not None
    assert ended.error_message == failure.user_failure_data.description == str(whole.value)
    assert ended.status == "failed"
    assert ended.report is not None
    folder = importing.store.settings.import_dir(broken.import_id)
    assert [file.name for file in folder.iterdir()] == ["raw"]


def archived(importing: Importing, content: str = ROWS) -> str:
    import_id = importing.register(content, max_rejected="100%")
    importing.run(import_id, (archive_raw_file,))
    return import_id


def test_ranges_share_the_lock_of_the_import_and_nobody_else_gets_it(importing: Importing) -> None:
    store, import_id = importing.store, archived(importing)
    assert divide_rows(store, import_id) > 1
    with import_stage(store, import_id, is_shared=True), import_stage(store, import_id, is_shared=True):
        assert check_range(store, import_id, 0) > 0
        with store.engine.connect() as connection:
            assert is_alive(connection, import_id)
        with pytest.raises(ImportBusy), import_lock(store.engine, import_id):
            pass
    with (
        import_lock(store.engine, import_id),
        pytest.raises(ImportBusy),
        import_stage(store, import_id, is_shared=True),
    ):
        pass


def test_r30_a_step_that_is_run_again_finds_what_it_needs_or_says_what_lacks(importing: Importing) -> None:
    store, import_id = importing.store, archived(importing)
    with pytest.raises(UsageError, match="not divided into ranges"):
        join_ranges(store, import_id)
    ranges = divide_rows(store, import_id)
    check_range(store, import_id, 0)
    ranges = divide_rows(store, import_id)
    for number in (*range(ranges), 0):
        check_range(store, import_id, number)
    joined = join_ranges(store, import_id)
    assert join_ranges(store, import_id) == joined
    assert validate_rows(store, import_id) == joined
    assert divide_rows(store, import_id) == ranges
    with pytest.raises(UsageError, match="Range 1 of the file is not checked"):
        join_ranges(store, import_id)


def test_an_import_that_ends_leaves_nothing_of_its_ranges(importing: Importing) -> None:
    store, import_id = importing.store, archived(importing)
    divide_rows(store, import_id)
    check_range(store, import_id, 0)
    folder: Path = store.settings.import_dir(import_id)
    assert json.loads((folder / "found.0.json.part").read_text())["valid"] > 0
    with store.engine.begin() as connection:
        mark_failed(connection, import_id, FileError(FileErrorCode.CSV_INVALID, "contacts.csv: something is wrong."))
    finish_import(store, import_id)
    assert [file.name for file in folder.iterdir()] == ["raw"]
