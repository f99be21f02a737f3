"""R42: what is older than the settings allow goes, kind by kind; counts and history outlive it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from engage_etl.errors import BrakeStopped, Removed, UsageError
from engage_etl.match_plan.stage import make_plan
from engage_etl.raw_file.stage import archive_raw_file
from engage_etl.reports.report import write_report
from engage_etl.retention import kept_files, retention
from engage_etl.settings import Settings, load_settings
from engage_etl.stage_run import apply_and_finish, import_stage, reject_and_finish
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, import_lock
from engage_etl.store.removals import Kind, find_removals
from engage_etl.store.tables import contact_change, plan_row, removal
from engage_etl.validated_rows.stage import validate_rows
from engage_etl_tests.importing import STAGES, Importing
from engage_etl_tests.retention.ageing import age, plan_on, retain, with_settings

ROWS = "user.Email,user.Identifier\nann@x.org,1\nbob@x.org,2\nnobody,3\n"
OTHER = "user.Email,user.Identifier\nann@y.org,1\nbob@y.org,2\nstill nobody,3\n"
FILES = (Kind.RAW_FILE, Kind.STAGE_FILES, Kind.REPORT)


def kept(settings: Settings) -> set[str]:
    """The files below the data folder, without links."""
    return {str(path.relative_to(settings.root)) for path in settings.root.rglob("*") if path.is_file()}


def count(store: Store, table: Any) -> int:
    with store.engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0


def gone(store: Store, entry: Import) -> dict[str, str]:
    with store.engine.connect() as connection:
        return {removed.kind: str(removed) for removed in find_removals(connection, entry.import_id)}


def test_r42_counts_and_history_outlive_everything_else(importing: Importing, store: Store) -> None:
    entries = [importing(ROWS), importing(OTHER, name="other.csv")]
    history = importing.contacts(history=True)
    results = retain(store, 91)
    assert {kind: result.imports for kind, result in results.items() if result.imports} == dict.fromkeys(
        (*FILES, Kind.PLAN), 2
    )
    assert kept(store.settings) == set()
    assert count(store, plan_row) == 0
    assert importing.contacts(history=True) == history and count(store, contact_change) == 4
    assert [importing.entry(entry.import_id) for entry in entries] == entries
    assert sum(entries[0].outcome_counts().values()) == 3


@pytest.mark.parametrize("days", [31, 61, 91, 151])
def test_a_dry_run_removes_nothing_and_has_the_figures_of_the_run_that_follows(
    importing: Importing, store: Store, days: int
) -> None:
    store = with_settings(store, keep_plans_days=60, keep_raw_files_days=None)
    for number in range(4):
        entry = importing(ROWS, name=f"{number}.csv")
        age(store, entry.import_id, 20 * number)
    plan_on(store, entry.import_id, "2026-01-15")
    before, rows = kept(store.settings), count(store, plan_row)
    foretold = retain(store, days - 60, dry_run=True)
    assert (kept(store.settings), count(store, plan_row), count(store, removal)) == (before, rows, 0)
    assert retain(store, days - 60) == foretold
    removed = sum(result.files for result in foretold.values())
    assert len(kept(store.settings)) == len(before) - removed and removed > 0
    assert count(store, plan_row) == rows - foretold["plan"].rows
    again = retain(store, days - 60)
    assert not any(result.files or result.rows or result.months for result in again.values())


def test_bytes_and_files_are_those_on_the_disk(importing: Importing, store: Store) -> None:
    entry = importing(ROWS)
    folder = store.settings.import_dir(entry.import_id)
    sizes = [file.stat().st_size for file in (folder / "raw").iterdir()]
    result = retain(store, 91)["raw_file"]
    assert (result.files, result.bytes) == (len(sizes), sum(sizes)) == (1, len(ROWS))


@pytest.mark.parametrize("stages", range(4))
def test_an_import_that_has_not_ended_is_left_alone(importing: Importing, store: Store, stages: int) -> None:
    import_id = importing.register(ROWS)
    importing.run(import_id, STAGES[:stages])
    before = kept(store.settings)
    results = retain(store, 5000)
    assert not any(result.imports or result.months for result in results.values())
    assert kept(store.settings) == before
    assert importing.run(import_id, STAGES[stages:]).status == "applied"


def test_a_dry_run_has_ended_with_its_plan(importing: Importing, store: Store) -> None:
    entry = importing.plan("user.Identifier,user.Email\n1,a@x.org\n", dry_run=True)
    assert retain(store, 1000)["plan"].imports == 1
    assert importing.plan_rows(entry) == []


def test_an_import_that_somebody_works_on_is_left_for_another_night(importing: Importing, store: Store) -> None:
    entry = importing(ROWS)
    with import_lock(store.engine, entry.import_id):
        assert not any(result.imports for result in retain(store, 91).values())
    assert retain(store, 91)["raw_file"].imports == 1


def test_what_is_kept_for_ever_stays(importing: Importing, store: Store) -> None:
    for_ever = {name: None for name in Settings.model_fields if name.startswith("keep_")}
    importing(ROWS)
    before = kept(store.settings)
    assert not any(result.imports for result in retain(with_settings(store, **for_ever), 5000).values())
    assert kept(store.settings) == before and count(store, plan_row) == 3


@pytest.mark.parametrize("text", ["", "none", "None", " forever "])
def test_for_ever_can_be_written(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ENGAGE_KEEP_REPORTS_DAYS", text)
    assert load_settings().keep_reports_days is None


@pytest.mark.parametrize("text", ["0", "-1", "36501", "90d"])
def test_days_that_are_none_are_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ENGAGE_KEEP_REPORTS_DAYS", text)
    with pytest.raises(UsageError, match="ENGAGE_KEEP_REPORTS_DAYS does not fit"):
        load_settings()


def test_what_a_killed_process_began_is_taken_up_again(
    importing: Importing, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = importing(ROWS)
    began = kept_files.remove

    def killed(settings: Settings, entry: Import, paths: list[Path]) -> None:
        began(settings, entry, paths[:1])
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(retention, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            retain(store, 91)
    assert "raw_file" in gone(store, entry)
    results = retain(store, 91)
    assert kept(store.settings) == set()
    assert results["stage_files"].imports == 1


def test_a_file_that_cannot_be_removed_does_not_stop_the_others(
    importing: Importing, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, other = importing(ROWS), importing(OTHER)
    began = kept_files.remove

    def refused(settings: Settings, entry: Import, paths: list[Path]) -> None:
        if stuck.import_id in str(paths[0]):
            raise PermissionError(13, "Permission denied", str(paths[0]))
        began(settings, entry, paths)

    with monkeypatch.context() as patched:
        patched.setattr(retention, "remove", refused)
        result = retain(store, 91)["raw_file"]
    assert result.imports == 1 and "cannot be removed (Permission denied); it is tried again" in result.left[0]
    assert not (store.settings.import_dir(other.import_id) / "raw").exists()
    assert retain(store, 91)["raw_file"].imports == 1


def test_sentences_say_what_is_gone_since_when_and_why(importing: Importing, store: Store) -> None:
    entry = importing(ROWS)
    retain(store, 91)
    said = gone(store, entry)
    assert set(said) == {*FILES, Kind.PLAN}
    assert f"The raw file of import {entry.import_id} was removed on 20" in said["raw_file"]
    assert "by retention (ENGAGE_KEEP_RAW_FILES_DAYS=90)." in said["raw_file"]


def test_r30_an_applied_import_stays_frozen_when_its_files_are_gone(importing: Importing, store: Store) -> None:
    """Without its stage files it would be validated again, and applied a second time."""
    entry = importing(ROWS)
    contacts = importing.contacts(history=True)
    store = with_settings(store, keep_raw_files_days=None, keep_reports_days=None)
    retain(store, 91)
    report = {file.name: file.read_bytes() for file in store.settings.report_dir(entry.import_id).iterdir()}
    with pytest.raises(Removed, match=r"The checked rows of import .* were removed"):
        validate_rows(store, entry.import_id)
    assert archive_raw_file(store, entry.import_id).bytes == len(ROWS)
    assert make_plan(store, entry.import_id) == entry
    with import_stage(store, entry.import_id):
        apply_and_finish(store, entry.import_id)
    assert importing.entry(entry.import_id) == entry and importing.contacts(history=True) == contacts
    # The plan is gone: a report made now would have no row in it.
    assert {f.name: f.read_bytes() for f in store.settings.report_dir(entry.import_id).iterdir()} == report
    with pytest.raises(Removed, match="The plan, row by row, of import"):
        write_report(store, entry.import_id)


def test_stage_files_that_people_took_away_are_not_made_again_either(importing: Importing, store: Store) -> None:
    entry = importing(ROWS)
    (store.settings.import_dir(entry.import_id) / "stage.json").unlink()
    with pytest.raises(UsageError, match="is applied, and its checked rows are no longer in"):
        validate_rows(store, entry.import_id)
    assert importing.entry(entry.import_id) == entry


def refused(importing: Importing) -> Import:
    """An import that a brake stopped and that a person then rejected."""
    import_id = importing.register(ROWS, max_rejected="0")
    with pytest.raises(BrakeStopped):
        importing.run(import_id)
    reject_and_finish(importing.store, import_id, because="too many are wrong", by="the test")
    return importing.entry(import_id)


def test_stages_of_a_rejected_import_say_what_they_lack(importing: Importing, store: Store) -> None:
    entry = refused(importing)
    Path(entry.source_path).unlink()
    retain(store, 91)
    for stage in STAGES:
        with pytest.raises(Removed, match="removed on"):
            importing.run(entry.import_id, (stage,))
    assert importing.entry(entry.import_id) == entry


def test_what_is_made_again_is_there_again(importing: Importing, store: Store) -> None:
    """The file is still where it was imported from."""
    entry = refused(importing)
    retain(store, 91)
    assert set(gone(store, entry)) == {*FILES, Kind.PLAN}
    with pytest.raises(BrakeStopped):
        importing.run(entry.import_id)
    assert gone(store, entry) == {}
    reject_and_finish(store, entry.import_id, because="still too many", by="the test")
    assert retain(store, 91)["raw_file"].files == 1


def test_a_month_of_old_plans_is_dropped(importing: Importing, store: Store) -> None:
    old, young = importing(ROWS), importing(OTHER, name="young.csv")
    plan_on(store, old.import_id, "2026-01-15")
    age(store, old.import_id, 200)
    foretold, done = retain(store, 0, dry_run=True)["plan"], retain(store, 0)["plan"]
    assert foretold == done and (done.imports, done.rows, done.months) == (1, 3, ["2026-01"])
    with store.engine.connect() as connection:
        assert connection.scalar(select(func.to_regclass("engage.plan_row_2026_01"))) is None
    assert "plan" in gone(store, old) and len(importing.rows(young)) == 3


def test_rows_are_deleted_where_a_month_holds_a_younger_plan(
    importing: Importing, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, young = importing(ROWS), importing(OTHER, name="young.csv")
    for entry in (old, young):
        plan_on(store, entry.import_id, "2026-01-15")
    age(store, old.import_id, 200)
    monkeypatch.setattr("engage_etl.retention.old_plans.ROWS_AT_A_TIME", 2)
    done = retain(store, 0)["plan"]
    assert (done.imports, done.rows, done.months) == (1, 3, [])
    assert importing.rows(old) == [] and len(importing.rows(young)) == 3


def test_a_month_in_use_is_left_for_another_night(
    importing: Importing, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engage_etl.retention.old_plans._TRIES", 1)
    entry = importing(ROWS)
    plan_on(store, entry.import_id, "2026-01-15")
    age(store, entry.import_id, 200)
    with store.engine.begin() as reading:
        reading.execute(select(func.count()).select_from(plan_row))
        done = retain(store, 0)["plan"]
    assert (done.months, done.left) == ([], ["The plans of 2026-01 are in use; their month is dropped the next time."])
    assert (done.rows, count(store, plan_row)) == (3, 0)
    assert retain(store, 0)["plan"].months == ["2026-01"]


def test_a_month_of_plans_that_are_still_written_is_never_dropped(store: Store) -> None:
    with pytest.raises(Exception, match="plans are still written into"), store.engine.begin() as connection:
        connection.execute(select(func.engage.drop_plan_month(func.current_date())))


def test_the_report_on_the_disk_is_whole_json_until_it_goes(importing: Importing, store: Store) -> None:
    entry = importing(ROWS)
    retain(store, 89)
    folder = store.settings.report_dir(entry.import_id)
    assert json.loads((folder / "summary.json").read_text())["rows"] == 3
    retain(store, 91)
    assert not os.path.lexists(folder)
