"""R40: the source file ends in done/ or failed/, with its report beside it, and is never lost."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

import pytest

from engage_etl.raw_file.settling import settle_file
from engage_etl.store.engine import Store
from engage_etl.store.imports import find_import, mark_claimed, register_import, update_import
from engage_etl.vocabulary.options import ImportOptions
from engage_etl.vocabulary.outcomes import Status

CONTENT = "user.Email\nann@example.com\n"


@dataclass(frozen=True)
class Arrival:
    """A dropped file that is claimed, and its import."""

    store: Store
    import_id: str
    claimed: Path

    @property
    def folder(self) -> Path:
        return self.store.settings.root

    def end(self, status: Status) -> None:
        report = self.store.settings.report_dir(self.import_id)
        report.mkdir(parents=True, exist_ok=True)
        (report / "summary.json").write_text("{}")
        with self.store.engine.begin() as connection:
            update_import(connection, self.import_id, status=status)

    def settled_path(self) -> str | None:
        with self.store.engine.connect() as connection:
            return find_import(connection, self.import_id).settled_path


@pytest.fixture
def arrival(store: Store) -> Arrival:
    claimed = store.settings.drop_dir / "nightly" / ".claimed" / "one" / "contacts.csv"
    claimed.parent.mkdir(parents=True)
    claimed.write_text(CONTENT)
    with store.engine.begin() as connection:
        import_id = register_import(
            connection,
            store.settings.drop_dir / "nightly" / "contacts.csv",
            ImportOptions(group="Newsletter"),
            automation="nightly",
            claimed_path=claimed,
        )
        mark_claimed(connection, import_id)
    return Arrival(store, import_id, claimed)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(Status.APPLIED, "done"), (Status.FAILED, "failed")],
)
def test_a_file_goes_where_its_import_ended_with_the_report_beside_it(
    arrival: Arrival, status: Status, kind: str
) -> None:
    arrival.end(status)
    settled = settle_file(arrival.store, arrival.import_id)
    assert settled == arrival.folder / kind / "nightly" / arrival.import_id / "contacts.csv"
    assert settled.read_text() == CONTENT
    assert (settled.parent / "report" / "summary.json").read_text() == "{}"
    assert not (settled.parent / "report").readlink().is_absolute()
    assert arrival.settled_path() == str(settled)
    assert not arrival.claimed.parent.exists()


def test_settling_again_changes_nothing(arrival: Arrival) -> None:
    arrival.end(Status.APPLIED)
    first = settle_file(arrival.store, arrival.import_id)
    assert first is not None
    assert settle_file(arrival.store, arrival.import_id) == first
    assert sorted(path.name for path in first.parent.iterdir()) == ["contacts.csv", "report"]


@pytest.mark.parametrize("status", [Status.RECEIVED, Status.PLANNED, Status.WAITING_FOR_APPROVAL, Status.STOPPED])
def test_a_file_whose_import_goes_on_stays(arrival: Arrival, status: Status) -> None:
    arrival.end(status)
    assert settle_file(arrival.store, arrival.import_id) is None
    assert arrival.claimed.read_text() == CONTENT


def test_a_file_imported_by_hand_stays(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "contacts.csv"
    source.write_text(CONTENT)
    with store.engine.begin() as connection:
        import_id = register_import(connection, source, ImportOptions(group="Newsletter"))
        update_import(connection, import_id, status=Status.APPLIED)
    assert settle_file(store, import_id) is None
    assert source.read_text() == CONTENT


def test_a_process_killed_between_move_and_record_is_caught_up_with(arrival: Arrival) -> None:
    arrival.end(Status.APPLIED)
    settled = settle_file(arrival.store, arrival.import_id)
    with arrival.store.engine.begin() as connection:
        update_import(connection, arrival.import_id, settled_path=None)
    assert settle_file(arrival.store, arrival.import_id) == settled
    assert arrival.settled_path() == str(settled)


def test_a_file_that_failed_and_is_applied_later_goes_on_to_done(arrival: Arrival) -> None:
    arrival.end(Status.FAILED)
    failed = settle_file(arrival.store, arrival.import_id)
    arrival.end(Status.APPLIED)
    done = settle_file(arrival.store, arrival.import_id)
    assert failed is not None and not failed.parent.exists()
    assert done == arrival.folder / "done" / "nightly" / arrival.import_id / "contacts.csv"
    assert done.read_text() == CONTENT
    assert (done.parent / "report" / "summary.json").exists()


def test_nothing_is_overwritten(arrival: Arrival) -> None:
    arrival.end(Status.APPLIED)
    taken = arrival.folder / "done" / "nightly" / arrival.import_id / "contacts.csv"
    taken.parent.mkdir(parents=True)
    taken.write_text("something else")
    settled = settle_file(arrival.store, arrival.import_id)
    assert settled == taken.with_name("contacts.2.csv")
    assert settled.read_text() == CONTENT
    assert taken.read_text() == "something else"
    assert settle_file(arrival.store, arrival.import_id) == settled


class TestAcrossFileSystems:
    @pytest.fixture(autouse=True)
    def _no_rename_out_of_the_drop_folder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rename = Path.rename

        def across(self: Path, target: Path) -> Path:
            if ".claimed" in self.parts:
                raise OSError(errno.EXDEV, "Invalid cross-device link")
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", across)

    def test_the_file_is_copied_whole_and_then_removed(self, arrival: Arrival) -> None:
        arrival.end(Status.APPLIED)
        settled = settle_file(arrival.store, arrival.import_id)
        assert settled is not None and settled.read_text() == CONTENT
        assert not arrival.claimed.exists()
        assert sorted(path.name for path in settled.parent.iterdir()) == ["contacts.csv", "report"]

    def test_a_copy_that_was_not_followed_by_the_removal_is_completed(self, arrival: Arrival) -> None:
        arrival.end(Status.APPLIED)
        copied = arrival.folder / "done" / "nightly" / arrival.import_id / "contacts.csv"
        copied.parent.mkdir(parents=True)
        copied.write_text(CONTENT)
        assert settle_file(arrival.store, arrival.import_id) == copied
        assert not arrival.claimed.exists()


def test_the_report_is_copied_where_there_are_no_links(arrival: Arrival, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(self: Path, target: str, target_is_directory: bool = False) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", no_links)
    arrival.end(Status.APPLIED)
    settled = settle_file(arrival.store, arrival.import_id)
    assert settled is not None
    report = settled.parent / "report"
    assert not report.is_symlink() and (report / "summary.json").read_text() == "{}"
