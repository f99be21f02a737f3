"""R27, R40: a dropped file waits until it is whole, is claimed once, and is found again after a crash."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from engage_etl.settings import Settings
from engage_etl.store.engine import Store
from engage_etl.store.imports import CLAIMED, Import, find_import, list_imports, register_import
from engage_etl.triggers.arrivals import Look, folders_without_automation, recover_claims, take_arrivals
from engage_etl.triggers.automations import Automation
from engage_etl.vocabulary.options import ImportOptions

OPTIONS = ImportOptions(group="Newsletter", use_external_identifier=True)


@dataclass
class Drops:
    """Drop folders, and a clock that the test moves."""

    store: Store
    folder: Path
    automations: list[Automation] = field(default_factory=list)
    seen: Look = field(default_factory=dict)
    now: float = 1_000_000.0

    def automation(self, name: str, *, pattern: str = "*", is_active: bool = True) -> Automation:
        source = self.folder / name
        source.mkdir(parents=True)
        made = Automation(name=name, source=source, pattern=pattern, is_active=is_active, options=OPTIONS)
        self.automations.append(made)
        return made

    def drop(self, automation: Automation, name: str, content: str = "user.Identifier\n1\n", modified: int = 1) -> Path:
        file = automation.source / name
        file.write_text(content)
        os.utime(file, (modified, modified))
        return file

    def look(self, after: float = 10.0) -> list[str]:
        """Look once, some seconds later; the ids of the imports taken."""
        self.now += after
        taken, self.seen = take_arrivals(self.store, self.automations, self.seen, self.now)
        return taken

    def take(self) -> list[Import]:
        """Look twice, so that what is whole is taken."""
        taken = [*self.look(), *self.look()]
        with self.store.engine.connect() as connection:
            return [find_import(connection, import_id) for import_id in taken]

    def registered(self) -> list[Import]:
        with self.store.engine.connect() as connection:
            return list_imports(connection)


@pytest.fixture
def drops(store: Store, settings: Settings) -> Drops:
    return Drops(store, settings.drop_dir)


def test_r40_a_file_is_registered_and_moved_aside(drops: Drops) -> None:
    crm = drops.automation("crm")
    file = drops.drop(crm, "contacts.csv", "x", modified=1_700_000_000)
    [entry] = drops.take()
    assert entry.import_id.startswith("crm.contacts.")
    assert (entry.automation, entry.file, entry.source_path) == ("crm", "contacts.csv", str(file))
    assert (entry.import_options, entry.is_claimed, entry.status) == (OPTIONS, True, "received")
    assert entry.modified_at is not None and entry.modified_at.timestamp() == 1_700_000_000
    assert not file.exists()
    assert entry.arrived_path == crm.source / CLAIMED / entry.import_id / "contacts.csv"
    assert entry.arrived_path.read_text() == "x"
    assert drops.take() == []


def test_r27_a_growing_file_waits(drops: Drops) -> None:
    crm = drops.automation("crm")
    for number in range(1, 5):
        file = drops.drop(crm, "contacts.csv", "x" * number)
        assert drops.look() == []
    assert len(drops.look()) == 1
    assert not file.exists()


def test_r27_a_file_that_is_touched_waits(drops: Drops) -> None:
    crm = drops.automation("crm")
    drops.drop(crm, "contacts.csv", modified=1)
    assert drops.look() == []
    drops.drop(crm, "contacts.csv", modified=2)
    assert drops.look() == []
    assert len(drops.look()) == 1


def test_r27_two_looks_in_the_same_moment_are_one(drops: Drops) -> None:
    crm = drops.automation("crm")
    drops.drop(crm, "contacts.csv")
    assert drops.look() == drops.look(after=0.5) == drops.look(after=0.4) == []
    assert len(drops.look(after=0.2)) == 1


def test_r40_the_order_is_modification_time_then_name(drops: Drops) -> None:
    first, second = drops.automation("z-first"), drops.automation("a-second")
    drops.drop(first, "b.csv", modified=20)
    drops.drop(second, "a.csv", modified=20)
    drops.drop(second, "0.csv", modified=30)
    drops.drop(first, "z.csv", modified=10)
    assert [entry.file for entry in drops.take()] == ["z.csv", "a.csv", "b.csv", "0.csv"]


def test_r40_the_same_file_again_is_a_new_import(drops: Drops) -> None:
    crm = drops.automation("crm")
    taken: list[Import] = []
    for _ in range(3):
        drops.drop(crm, "contacts.csv")
        taken += drops.take()
    assert len({entry.import_id for entry in taken}) == 3
    assert all(entry.arrived_path.exists() for entry in taken)


def test_r27_what_is_no_arrival(drops: Drops) -> None:
    crm = drops.automation("crm")
    (crm.source / "folder").mkdir()
    (crm.source / "folder" / "contacts.csv").write_text("x")
    (crm.source / CLAIMED / "old").mkdir(parents=True)
    (crm.source / CLAIMED / "old" / "contacts.csv").write_text("x")
    drops.drop(crm, ".hidden.csv")
    (crm.source / "dangling.csv").symlink_to(crm.source / "nothing")
    assert drops.take() == []
    assert len(list(crm.source.iterdir())) == 4


@pytest.mark.parametrize("pattern", ["**/*", "*/*", "../*", "*"])
def test_r40_a_pattern_never_leaves_the_folder(drops: Drops, pattern: str) -> None:
    crm = drops.automation("crm", pattern=pattern)
    other = crm.source.parent / "other.csv"
    other.write_text("x")
    (crm.source / CLAIMED / "old").mkdir(parents=True)
    (crm.source / CLAIMED / "old" / "contacts.csv").write_text("x")
    drops.take()
    assert other.exists()
    assert drops.registered() == []


def test_r40_only_what_fits_the_pattern(drops: Drops) -> None:
    crm = drops.automation("crm", pattern="*.csv")
    drops.drop(crm, "a.csv")
    drops.drop(crm, "b.xml")
    assert [entry.file for entry in drops.take()] == ["a.csv"]


def test_an_automation_that_is_not_active_takes_nothing(drops: Drops) -> None:
    file = drops.drop(drops.automation("crm", is_active=False), "contacts.csv")
    assert drops.take() == []
    assert file.exists()


def test_a_source_that_does_not_exist_yet(drops: Drops) -> None:
    crm = drops.automation("crm")
    crm.source.rmdir()
    assert drops.take() == []


def test_a_folder_without_automation_is_left_alone_and_named(drops: Drops) -> None:
    crm = drops.automation("crm")
    file = drops.drop(crm, "contacts.csv")
    drops.automation("empty")
    drops.automations.clear()
    assert drops.take() == []
    assert file.exists()
    assert folders_without_automation(drops.folder, []) == ["crm"]
    assert folders_without_automation(drops.folder, [crm]) == []
    assert folders_without_automation(drops.folder / "missing", []) == []


@pytest.mark.parametrize(
    "name", ["Kündigungen 2024 (neu).csv", "a\nb.csv", "%2e%2e.csv", "x" * 200 + ".csv", "no-ending"]
)
def test_r40_names_of_every_kind(drops: Drops, name: str) -> None:
    drops.drop(drops.automation("crm"), name)
    [entry] = drops.take()
    assert entry.file == entry.arrived_path.name == name
    assert entry.import_id.isascii() and "/" not in entry.import_id


def begun(drops: Drops, crm: Automation) -> Import:
    """A claim of which only the row in the register was written."""
    file = drops.drop(crm, "contacts.csv")
    with drops.store.engine.begin() as connection:
        import_id = register_import(
            connection,
            file,
            OPTIONS,
            automation=crm.name,
            claimed_path=crm.source / CLAIMED / "crm.id" / file.name,
            import_id="crm.id",
        )
        return find_import(connection, import_id)


def test_r40_killed_between_the_row_and_the_move(drops: Drops) -> None:
    entry = begun(drops, drops.automation("crm"))
    assert drops.take() == []
    assert drops.registered() == [replace(entry, is_claimed=True)]
    assert entry.arrived_path.exists() and not Path(entry.source_path).exists()


def test_r40_killed_between_the_move_and_the_mark(drops: Drops) -> None:
    entry = begun(drops, drops.automation("crm"))
    entry.arrived_path.parent.mkdir(parents=True)
    Path(entry.source_path).rename(entry.arrived_path)
    assert drops.take() == []
    assert drops.registered() == [replace(entry, is_claimed=True)]
    assert entry.arrived_path.exists()


def test_r40_killed_after_the_move_and_the_same_name_dropped_again(drops: Drops) -> None:
    crm = drops.automation("crm")
    entry = begun(drops, crm)
    entry.arrived_path.parent.mkdir(parents=True)
    Path(entry.source_path).rename(entry.arrived_path)
    drops.drop(crm, "contacts.csv", "second")
    [second] = drops.take()
    assert second.import_id != entry.import_id
    assert second.arrived_path.read_text() == "second"
    assert entry.arrived_path.read_text() != "second"


def test_r40_a_file_that_is_in_neither_place_is_no_arrival(drops: Drops) -> None:
    entry = begun(drops, drops.automation("crm"))
    Path(entry.source_path).unlink()
    recover_claims(drops.store)
    assert drops.registered() == []
    assert not entry.arrived_path.parent.exists()


def test_r40_recovery_can_be_repeated(drops: Drops) -> None:
    entry = begun(drops, drops.automation("crm"))
    for _ in range(3):
        recover_claims(drops.store)
    assert [found.import_id for found in drops.registered()] == [entry.import_id]


def test_r40_an_import_by_hand_is_not_moved(drops: Drops, tmp_path: Path) -> None:
    file = tmp_path / "contacts.csv"
    file.write_text("x")
    with drops.store.engine.begin() as connection:
        register_import(connection, file, OPTIONS)
    recover_claims(drops.store)
    assert file.exists()
    assert [entry.is_claimed for entry in drops.registered()] == [True]


def test_r40_a_file_taken_back_by_its_sender_is_forgotten(drops: Drops) -> None:
    file = drops.drop(drops.automation("crm"), "contacts.csv")
    assert drops.look() == []
    file.unlink()
    assert drops.look() == []
    assert drops.seen == {}
