"""R27, R40: what cannot be taken yet, or at all, is named and stays; the others go on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engage_etl.store.engine import Store
from engage_etl.store.imports import CLAIMED, Import, list_imports
from engage_etl.triggers.arrivals import Look, files_without_folder, take_arrivals
from engage_etl.triggers.automations import Automation
from engage_etl.vocabulary.options import ImportOptions


class Drops:
    """Two drop folders, a clock that the test moves, and the complaints of the last look."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = 1_000_000.0
        self.seen: Look = {}
        self.complaints: list[str] = []
        self.crm, self.shop = self._automation("crm"), self._automation("shop")

    def _automation(self, name: str) -> Automation:
        source = self.store.settings.drop_dir / name
        source.mkdir(parents=True)
        return Automation(name, source, "*", True, ImportOptions(group="Newsletter"))

    def look(self) -> list[str]:
        """Look once, ten seconds later; names of the files taken."""
        self.now += 10
        self.complaints = []
        taken, self.seen = take_arrivals(
            self.store, [self.crm, self.shop], self.seen, self.now, complain=self.complaints.append
        )
        return [entry.file for entry in self.registered() if entry.import_id in taken]

    def take(self) -> list[str]:
        """Look twice, so that what is whole is taken."""
        return [*self.look(), *self.look()]

    def registered(self) -> list[Import]:
        with self.store.engine.connect() as connection:
            return list_imports(connection)


@pytest.fixture
def drops(store: Store) -> Drops:
    return Drops(store)


def test_r27_a_file_that_is_open_for_writing_waits_however_long_its_writer_pauses(drops: Drops) -> None:
    slow = drops.crm.source / "slow.csv"
    (drops.shop.source / "whole.csv").write_text("x")
    with slow.open("w") as writing:
        writing.write("user.Identifier\n")
        writing.flush()
        assert drops.take() == ["whole.csv"]
        assert drops.take() == []
        assert slow.exists()
        writing.write("1\n")
    assert drops.take() == ["slow.csv"]
    [entry] = [entry for entry in drops.registered() if entry.file == "slow.csv"]
    assert entry.arrived_path.read_text() == "user.Identifier\n1\n"


def test_r27_a_file_that_is_open_for_reading_does_not_wait(drops: Drops) -> None:
    (drops.crm.source / "a.csv").write_text("x")
    with (drops.crm.source / "a.csv").open():
        assert drops.take() == ["a.csv"]


def test_r40_a_folder_in_which_nothing_can_be_moved_does_not_stop_the_others(drops: Drops) -> None:
    stuck = drops.crm.source / "a.csv"
    stuck.write_text("x")
    (drops.crm.source / CLAIMED).write_text("a file where a folder has to be")
    (drops.shop.source / "b.csv").write_text("x")
    assert drops.take() == ["b.csv"]
    assert any(str(stuck) in complaint for complaint in drops.complaints)
    for _ in range(3):
        drops.look()
    assert stuck.exists()
    assert [entry.file for entry in drops.registered()] == ["b.csv"]
    (drops.crm.source / CLAIMED).unlink()
    assert drops.take() == ["a.csv"]


def test_r40_a_name_that_is_no_utf8_is_named_and_left(drops: Drops) -> None:
    name = os.fsdecode(b"caf\xe9.csv")
    (drops.crm.source / name).write_text("x")
    (drops.crm.source / "b.csv").write_text("x")
    assert drops.take() == ["b.csv"]
    [complaint] = drops.complaints
    assert "caf\\udce9.csv" in complaint and "rename it" in complaint
    assert (drops.crm.source / name).exists()


@pytest.mark.parametrize("pattern", ["/etc/*", "[", "", "a**b"])
def test_r40_a_pattern_that_fits_nothing_takes_nothing(drops: Drops, pattern: str) -> None:
    (drops.crm.source / "a.csv").write_text("x")
    drops.crm = Automation("crm", drops.crm.source, pattern, True, drops.crm.options)
    assert drops.take() == []


def test_files_that_lie_beside_the_drop_folders_are_named(drops: Drops) -> None:
    drop_dir: Path = drops.store.settings.drop_dir
    (drop_dir / "lost.csv").write_text("x")
    (drop_dir / ".hidden").write_text("x")
    assert files_without_folder(drop_dir, [drops.crm]) == ["lost.csv"]
    whole = Automation("all", drop_dir, "*", True, drops.crm.options)
    assert files_without_folder(drop_dir, [whole]) == []
    assert files_without_folder(drop_dir / "missing", []) == []
