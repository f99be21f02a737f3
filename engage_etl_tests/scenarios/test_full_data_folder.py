"""A data folder without room: a sentence, nothing half done, and an import that goes through when there is room again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from engage_etl.errors import ReportMissing
from engage_etl.settings import Settings
from engage_etl.triggers.instance import prepare_instance
from engage_etl_tests.cli.commands import engage_etl
from engage_etl_tests.importing import GROUP, Importing, as_csv
from engage_etl_tests.scenarios.small_disk import SmallDisk, small_disk

pytestmark = pytest.mark.scenario
ROWS = 4000


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    with small_disk(32) as mounted:
        yield mounted


@pytest.fixture
def settings(settings: Settings, disk: SmallDisk) -> Settings:
    """An installation with its data folder on the small disk, in use already."""
    settings = settings.model_copy(update={"data_dir": disk.folder / "data"})
    prepare_instance(settings)
    return settings


@pytest.fixture
def sizes(importing: Importing) -> dict[str, int]:
    """Bytes that an import of the file takes, by folder or kind of file."""
    entry, settings = importing(content("measured")), importing.store.settings
    folder, report = settings.import_dir(entry.import_id), settings.report_dir(entry.import_id)
    files = {"raw": folder.glob("raw/*"), "stage": folder.glob("*.*"), "report": report.iterdir()}
    return {name: sum(file.stat().st_size for file in found) for name, found in files.items()}


def content(name: str) -> str:
    """A file of which one row is new, and the others are skipped and so reported in full, whoever is in the store."""
    chance = random.Random(1)  # stage files are compressed, and texts that have no pattern keep their size
    unknown = [(f"{name}-{number}", "", chance.randbytes(12).hex()) for number in range(ROWS)]
    return as_csv(("user.Identifier", "user.Email", "user.FirstName"), (name, f"{name}@x.org", "Ann"), *unknown)


def command(file: Path) -> list[object]:
    return ["import", file, "--group", GROUP, "--use-external-identifier", "--json"]


def unfinished(settings: Settings) -> list[Path]:
    return [path for path in settings.root.rglob("*") if path.suffix == ".part" or ".aside-" in path.name]


@pytest.mark.parametrize(("kept", "written"), [((), "raw"), (("raw",), "stage")], ids=["raw bytes", "stage files"])
def test_no_room_before_the_plan(
    importing: Importing,
    settings: Settings,
    disk: SmallDisk,
    sizes: dict[str, int],
    tmp_path: Path,
    kept: tuple[str, ...],
    written: str,
) -> None:
    file, before = tmp_path / "contacts.csv", importing.contacts(history=True)
    file.write_text(content("later"))
    disk.leave(sum(sizes[name] for name in kept) + sizes[written] // 2)
    ended = engage_etl(settings, *command(file))
    assert (ended.code, ended.json["status"], "Traceback" in ended.err) == (1, "failed", False)
    message = f"The disk with the data folder {settings.root} is full. Nothing is half done: make room, then "
    assert ended.json["error"]["message"].startswith(message)
    assert importing.entry(ended.json["import_id"]).error_message == ended.json["error"]["message"]
    assert importing.contacts(history=True) == before
    assert unfinished(settings) == []
    disk.make_room()
    again = importing.run(ended.json["import_id"])
    assert (again.status, again.created, again.skipped, again.error_message) == ("applied", 1, ROWS, None)


def test_no_room_for_the_report(
    importing: Importing, settings: Settings, disk: SmallDisk, sizes: dict[str, int], tmp_path: Path
) -> None:
    file = tmp_path / "contacts.csv"
    file.write_text(content("later"))
    disk.leave(sizes["raw"] + sizes["stage"] + sizes["report"] // 2)
    ended = engage_etl(settings, *command(file))
    assert (ended.code, ended.json["status"], ended.json["created"], ended.json["report"]) == (0, "applied", 1, None)
    import_id = ended.json["import_id"]
    assert ended.err == (
        "Warning: contacts.csv: the import is applied, but its report could not be written: the disk with the data folder "
        f"{settings.root} is full. To get it, make room, then run `engage-etl imports report {import_id}`.\n"
    )
    assert importing.column("identifier") == [("measured",), ("later",)]
    assert unfinished(settings) == []
    assert "Report: missing" in engage_etl(settings, "imports", "show", import_id).out
    disk.make_room()
    assert engage_etl(settings, "imports", "report", import_id).out == f"{settings.report_dir(import_id)}\n"
    assert len((settings.report_dir(import_id) / "skipped.csv").read_text().splitlines()) == 1 + ROWS
    assert importing.entry(import_id).report == f"reports/{import_id}"


def test_a_report_that_found_no_room_is_written_by_another_run(
    importing: Importing, settings: Settings, disk: SmallDisk, sizes: dict[str, int]
) -> None:
    import_id = importing.register(content("later"))
    disk.leave(sizes["raw"] + sizes["stage"] + sizes["report"] // 2)
    with pytest.raises(ReportMissing, match="the import is applied, but its report could not be written"):
        importing.run(import_id)
    applied = importing.contacts(history=True)
    disk.make_room()
    importing.run(import_id)
    assert importing.contacts(history=True) == applied
    assert (settings.report_dir(import_id) / "skipped.csv").exists()
