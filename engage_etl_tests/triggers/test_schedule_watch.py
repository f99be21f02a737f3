"""What ``engage-etl up`` makes of changes to ``automations.yaml``; the code server that would load them is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from engage_etl.settings import Settings
from engage_etl.triggers.code_server import ScheduleWatch, is_serving

SHOP = "automations:\n  - {name: shop, group: Newsletter, source: drop/shop}\n"
NIGHTLY = '  - {name: nightly, group: Newsletter, source: drop/nightly, schedule: "0 2 * * *"}\n'


class Watching:
    def __init__(self, settings: Settings, address: Path) -> None:
        self.file, self.said = settings.automations_file, list[str]()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(SHOP)
        self.watch = ScheduleWatch(settings, address, self.said.append)

    def look(self) -> list[str]:
        """What is said at a look."""
        self.said.clear()
        self.watch.look()
        return [sentence.partition("(")[0].strip() for sentence in self.said]


@pytest.fixture
def watching(tmp_path: Path) -> Watching:
    return Watching(Settings(data_dir=tmp_path / "data"), tmp_path / "code")


NOT_YET = "The schedules are not taken up yet"


def test_what_holds_for_two_looks_is_taken_up_and_tried_again_until_it_is(watching: Watching) -> None:
    assert watching.look() == []
    watching.file.write_text(SHOP + NIGHTLY)
    assert watching.look() == []
    assert watching.look() == [
        "automations.yaml has changed; 2 automations right, 1 with a schedule.",
        NOT_YET,
    ]
    assert watching.look() == [NOT_YET]
    watching.file.write_text(SHOP)
    assert watching.look() == []
    assert watching.look() == ["automations.yaml has changed; 1 automation right, 0 with a schedule."]


def test_a_file_that_is_empty_for_a_moment_while_it_is_written_changes_nothing(watching: Watching) -> None:
    watching.file.write_text("")
    assert watching.look() == []
    watching.file.write_text(SHOP)
    assert (watching.look(), watching.look()) == ([], [])


def test_what_concerns_no_schedule_needs_no_loading(watching: Watching) -> None:
    watching.file.write_text(SHOP.replace("Newsletter", "Customers"))
    assert watching.look() == []
    assert watching.look() == ["automations.yaml has changed; 1 automation right, 0 with a schedule."]
    assert watching.look() == []


def test_a_file_of_which_nothing_can_be_read_is_told_and_not_taken_up(tmp_path: Path) -> None:
    watching = Watching(Settings(data_dir=tmp_path / "data"), tmp_path / "code")
    watching.file.write_text(SHOP + NIGHTLY)
    watching.watch = ScheduleWatch(Settings(data_dir=tmp_path / "data"), tmp_path / "code", watching.said.append)
    watching.file.write_text("automations: [\n")
    assert watching.look() == []
    told = watching.look()
    assert told[1:] == ["Automation left out: automations.yaml, line 2: the file is no YAML"]
    assert watching.look() == []


def test_a_code_server_that_is_not_there(tmp_path: Path) -> None:
    assert not is_serving(tmp_path / "code")
    (tmp_path / "code").touch()
    assert not is_serving(tmp_path / "code")
