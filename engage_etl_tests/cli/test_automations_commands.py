"""``engage-etl automations``: check the file, list what is in it, import what waits now."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from engage_etl.settings import Settings
from engage_etl.store.imports import list_imports
from engage_etl_tests.cli.commands import engage_etl
from engage_etl_tests.importing import Importing
from engage_etl_tests.own_dagster import own_dagster

AUTOMATIONS = """\
automations:
  - name: nightly-crm
    group: Newsletter
    source: drop/nightly
    schedule: "0 2 * * *"
    time-zone: Europe/Berlin
    additional-parameters:
      source-use-customeridentifier: "true"
  - name: stopped
    group: Newsletter
    source: drop/stopped
    active: false
"""
WRONG = AUTOMATIONS.replace('"true"', '"True"').replace("active: false", "aktive: false\n    import-mode: ad")


@pytest.fixture
def settings(settings: Settings) -> Iterator[Settings]:
    """An installation whose Dagster knows nothing of other tests."""
    with own_dagster(settings) as own:
        own.root.mkdir(parents=True, exist_ok=True)
        own.automations_file.write_text(AUTOMATIONS)
        yield own


def nowhere(folder: Path) -> Settings:
    """An installation whose store cannot be reached."""
    return Settings(data_dir=folder, database_url="postgresql://nobody@127.0.0.1:1/engage")


def test_check_needs_no_store_and_no_installation(tmp_path: Path) -> None:
    file = tmp_path / "our.yaml"
    file.write_text(AUTOMATIONS)
    ended = engage_etl(nowhere(tmp_path), "automations", "check", file)
    assert (ended.code, ended.out) == (0, f"2 automations right, 0 errors in {file}.\n")


def test_check_names_every_error_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "automations.yaml").write_text(WRONG)
    ended = engage_etl(nowhere(tmp_path), "automations", "check")
    assert ended.code == 1
    assert ended.out.startswith("0 automations right, 3 errors in ")
    assert [line.partition(": ")[0] for line in ended.err.splitlines()] == [
        "automations.yaml, line 8", "automations.yaml, line 12", "automations.yaml, line 13",
    ]  # fmt: skip
    assert "Did you mean 'true'?" in ended.err and "Did you mean 'active'?" in ended.err
    assert "Did you mean 'add'?" in ended.err


def test_check_as_json(tmp_path: Path) -> None:
    (tmp_path / "automations.yaml").write_text(WRONG)
    ended = engage_etl(nowhere(tmp_path), "automations", "check", "--json")
    assert (ended.code, ended.json["automations"]) == (1, [])
    first = ended.json["errors"][0]
    assert (first["line"], first["key"], first["nearest"]) == (8, "source-use-customeridentifier", "true")


def test_check_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    ended = engage_etl(nowhere(tmp_path), "automations", "check", "missing.yaml")
    assert (ended.code, "There is no file missing.yaml" in ended.err) == (2, True)


def test_list(settings: Settings, importing: Importing) -> None:
    ended = engage_etl(settings, "automations", "list", "--json")
    first, second = ended.json
    assert (ended.code, first["name"], first["group"], first["schedule"]) == (
        0,
        "nightly-crm",
        "Newsletter",
        "0 2 * * *",
    )
    assert first["source"] == str(settings.drop_dir / "nightly")
    due = datetime.fromisoformat(first["next_run"])
    assert (due.hour, due.minute, first["time_zone"], first["active"]) == (2, 0, "Europe/Berlin", True)
    assert due > datetime.now(due.tzinfo)
    assert (first["last_import"], second["last_import"]) == (None, None)
    assert (second["schedule"], second["next_run"], second["active"]) == ("on-arrival", None, False)
    shown = engage_etl(settings, "automations", "list")
    assert shown.code == 0
    assert "stopped" in shown.out.splitlines()[2] and "none yet" in shown.out


def test_r40_run_imports_what_waits_in_the_order_of_arrival(settings: Settings, importing: Importing) -> None:
    folder = settings.drop_dir / "nightly"
    folder.mkdir(parents=True)
    for name, modified, address in (("b.csv", 1, "first@x.org"), ("a.csv", 2, "second@x.org")):
        (folder / name).write_text(f"user.Identifier,user.Email\n1,{address}\n")
        os.utime(folder / name, (modified, modified))
    ended = engage_etl(settings, "automations", "run", "nightly-crm", "--json")
    assert (ended.code, [(one["file"], one["status"]) for one in ended.json]) == (
        0,
        [("b.csv", "applied"), ("a.csv", "applied")],
    )
    assert importing.column("identifier", "email") == [("1", "second@x.org")]
    assert [path.name for path in folder.iterdir() if path.is_file()] == []
    for one in ended.json:
        assert (settings.root / "done" / "nightly-crm" / one["import_id"] / one["file"]).is_file()
    listed = engage_etl(settings, "automations", "list", "--json").json[0]
    assert listed["last_import"] == {"import_id": ended.json[1]["import_id"], "status": "applied"}


def test_run_of_one_that_is_not_active_and_a_file_that_is_wrong(settings: Settings, importing: Importing) -> None:
    folder = settings.drop_dir / "stopped"
    folder.mkdir(parents=True)
    (folder / "wrong.csv").write_text("user.Emial\na@x.org\n")
    (folder / "right.csv").write_text("user.Email\na@x.org\nno address\n")
    os.utime(folder / "wrong.csv", (1, 1))
    ended = engage_etl(settings, "automations", "run", "stopped", "--strict")
    assert ended.code == 1
    assert "user.Emial" in ended.out and "right.csv → Newsletter: applied" in ended.out
    assert importing.column("email") == [("a@x.org",)]
    assert [path.parent.parent.name for path in settings.root.glob("failed/*/*/wrong.csv")] == ["stopped"]


def test_run_with_nothing_waiting(settings: Settings, importing: Importing) -> None:
    ended = engage_etl(settings, "automations", "run", "nightly-crm")
    assert (ended.code, ended.out) == (0, "")
    assert f"No file waits in {settings.drop_dir / 'nightly'}." in ended.err
    assert engage_etl(settings, "automations", "run", "nightly-crm", "--json").json == []


def test_run_of_an_unknown_one_names_the_nearest_and_what_is_wrong(settings: Settings, importing: Importing) -> None:
    ended = engage_etl(settings, "automations", "run", "nightly-cmr")
    assert (ended.code, "Did you mean 'nightly-crm'?" in ended.err) == (2, True)
    settings.automations_file.write_text(WRONG)
    ended = engage_etl(settings, "automations", "run", "nightly-crm")
    assert (ended.code, "automations.yaml, line 8: source-use-customeridentifier" in ended.err) == (2, True)


def test_r40_the_sensor_asks_for_no_run_of_what_a_command_has_claimed(settings: Settings, importing: Importing) -> None:
    """The files of an archive are imported one after the other; the others are alive to the sensor meanwhile."""
    from engage_etl.cli import automation_runs
    from engage_etl.store.imports import is_alive

    folder = settings.drop_dir / "nightly"
    folder.mkdir(parents=True)
    for name in ("a.csv", "b.csv"):
        (importing.folder / name).write_text("user.Identifier,user.Email\n1,a@x.org\n")
    archive = importing.folder / "both.zip"
    subprocess.run(["python3", "-m", "zipfile", "-c", archive, "a.csv", "b.csv"], cwd=importing.folder, check=True)
    ids = [entry.import_id for entry in importing.arrive(archive)]
    with automation_runs._reserved(importing.store, ids) as release, importing.store.engine.connect() as sensor:
        assert [is_alive(sensor, import_id) for import_id in ids] == [True, True]
        release(ids[0])
        assert [is_alive(sensor, import_id) for import_id in ids] == [False, True]
    with importing.store.engine.connect() as sensor:
        assert [is_alive(sensor, import_id) for import_id in ids] == [False, False]
        assert len(list_imports(sensor)) == 2
