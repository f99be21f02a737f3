"""`contacts forget`: whom it refuses to erase, what it leaves to others, and how it is completed after a kill."""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from engage_etl.erasure import erasing
from engage_etl.erasure.erasing import Forgotten, forget
from engage_etl.errors import BrakeStopped, FileError, ImportBusy, Removed, StoreUnavailable, UsageError
from engage_etl.raw_file.arrival import register_arrival
from engage_etl.raw_file.stage import archive_raw_file
from engage_etl.reports.report import write_report
from engage_etl.stage_run import import_stage, revert_and_finish
from engage_etl.store.engine import Store
from engage_etl.store.imports import import_lock, mark_claimed
from engage_etl.store.loading_tables import drop_abandoned
from engage_etl.store.removals import find_removals
from engage_etl.store.tables import contact_change, erasure
from engage_etl.vocabulary.options import ImportOptions
from engage_etl_tests.erasure.searching import places_of
from engage_etl_tests.importing import GROUP, STAGES, Importing
from engage_etl_tests.retention.ageing import retain

PEOPLE = "user.Email,user.Identifier,user.LastName\nann@x.org,ann-001,Quirrel\nben@x.org,ben-002,Bloggs\n"


class NoRuns:
    """Imports by the test's own hand have no Dagster runs."""

    def remove_naming(self, import_ids: Collection[str], texts: Collection[str], *, dry_run: bool) -> int:
        return 0


def forget_ann(importing: Importing, **options: Any) -> Forgotten:
    [ann] = [one["contact_id"] for one in importing.contacts() if one["identifier"] == "ann-001"]
    return forget(importing.store, NoRuns(), ann, by="the test", **options)


def erasures(store: Store) -> list[Any]:
    with store.engine.connect() as connection:
        return list(connection.execute(select(erasure)).all())


@pytest.mark.parametrize("stages", range(4))
def test_imports_on_their_way_are_named(importing: Importing, stages: int) -> None:
    importing(PEOPLE)
    waiting = importing.register(PEOPLE.replace("Quirrel", "Other"), name="waiting.csv")
    importing.run(waiting, STAGES[:stages])
    with pytest.raises(
        UsageError, match=f"can still be applied: {waiting}. Let them end first, or end them with --end-"
    ):
        forget_ann(importing)
    assert len(importing.contacts()) == 2 and erasures(importing.store) == []
    assert forget_ann(importing, dry_run=True).ended == [waiting]


def test_imports_on_their_way_can_be_ended(importing: Importing) -> None:
    importing(PEOPLE)
    waiting = importing.plan(PEOPLE.replace("Quirrel", "Other"), name="waiting.csv")
    assert forget_ann(importing, end_imports=True).ended == [waiting.import_id]
    ended = importing.entry(waiting.import_id)
    assert ended.status == "failed" and "a person in it was erased, and nothing was applied" in (
        ended.error_message or ""
    )
    assert [one["identifier"] for one in importing.contacts()] == ["ben-002"]


def test_what_a_killed_validation_left_goes_too(importing: Importing) -> None:
    entry = importing(PEOPLE)
    left = importing.store.settings.import_dir(entry.import_id) / "valid.0.parquet.part"
    left.write_text("ann@x.org")
    forget_ann(importing)
    assert not left.exists()


def loaded_and_left(store: Store, import_id: str) -> None:
    """As a process that is killed while it plans a large file leaves it."""
    with store.engine.begin() as connection:
        connection.execute(text("SELECT engage_loading.make_table(:id)"), {"id": import_id})


def test_what_a_killed_plan_has_loaded_goes_too(importing: Importing) -> None:
    entry, store = importing(PEOPLE), importing.store
    loaded_and_left(store, entry.import_id)
    forget_ann(importing, dry_run=True)
    assert drop_abandoned(store).dropped == [entry.import_id]
    loaded_and_left(store, entry.import_id)
    forget_ann(importing)
    assert drop_abandoned(store).dropped == []


def test_loaded_rows_that_another_program_reads_are_not_passed_over(
    importing: Importing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "PATIENTLY", "50ms")
    entry, store = importing(PEOPLE), importing.store
    loaded_and_left(store, entry.import_id)
    with store.engine.begin() as reading:
        table = reading.scalar(text("SELECT engage_loading.table_of(:id)"), {"id": entry.import_id})
        reading.execute(text(f"LOCK TABLE engage_loading.{table} IN ACCESS SHARE MODE"))
        with pytest.raises(
            StoreUnavailable, match=f"reads the loaded rows of import {entry.import_id}.*Run the command"
        ):
            forget_ann(importing)
        assert len(importing.contacts()) == 2
    forget_ann(importing)
    assert len(importing.contacts()) == 1


def test_an_import_that_a_brake_stopped_can_still_be_applied_and_is_named(importing: Importing) -> None:
    importing(PEOPLE)
    stopped = importing.register(PEOPLE + "nobody,3,x\n", name="stopped.csv", max_rejected="0")
    with pytest.raises(BrakeStopped):
        importing.run(stopped)
    with pytest.raises(UsageError, match=stopped):
        forget_ann(importing)
    assert forget_ann(importing, end_imports=True).ended == [stopped]


def test_an_ended_import_that_is_planned_again_brings_nobody_back(importing: Importing) -> None:
    importing(PEOPLE)
    failed = importing.plan(PEOPLE.replace("Bloggs", "Other"), name="failed.csv")
    forget_ann(importing, end_imports=True)
    importing.run(failed.import_id, STAGES[2:3])
    assert importing.rows(failed) == [(2, "skipped", "no_standard_identifier"), (3, "updated", None)]
    # Its raw file is gone, and without it there would be no report of what was applied.
    with pytest.raises(Removed, match="raw file"):
        importing.run(failed.import_id, STAGES[3:])
    assert importing.column("identifier", "last_name") == [("ben-002", "Bloggs")]


STEPS = (
    "erase_stage_rows",
    "erase_report_lines",
    "remove",
    "end_removal",
    "add_erased",
    "erase_from_store",
    "end_erasure",
)


@pytest.mark.parametrize("step", STEPS)
def test_what_a_killed_process_left_is_completed(
    importing: Importing, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    entry = importing(PEOPLE)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(erasing, step, killed)
        with pytest.raises(KeyboardInterrupt):
            forget_ann(importing)
    [begun] = erasures(importing.store)
    assert begun.ended_at is None and len(importing.contacts()) == 2
    forget_ann(importing)
    assert not (importing.store.settings.import_dir(entry.import_id) / "raw").exists()
    texts = [file.read_bytes() for file in importing.store.settings.root.rglob("*") if file.is_file()]
    assert texts and not any(mark in text for text in texts for mark in (b"ann-001", b"ann@x.org"))
    [ended] = erasures(importing.store)
    assert ended.erasure_id == begun.erasure_id and ended.ended_at is not None
    assert ended.erased["raw_files"] == 1 and ended.erased["history"] == 1
    assert len(importing.contacts()) == 1


def test_an_import_that_somebody_works_on_is_waited_for(importing: Importing) -> None:
    entry = importing(PEOPLE)
    with import_lock(importing.store.engine, entry.import_id), pytest.raises(ImportBusy):
        forget_ann(importing)
    assert len(importing.contacts()) == 2
    forget_ann(importing)
    assert len(importing.contacts()) == 1


def test_an_import_that_comes_meanwhile_is_not_overlooked(
    importing: Importing, monkeypatch: pytest.MonkeyPatch
) -> None:
    importing(PEOPLE)
    began = erasing._erase_rows

    def overtaken(*given: Any) -> Any:
        importing(PEOPLE.replace("Quirrel", "Newer"), name="newer.csv")
        return began(*given)

    with monkeypatch.context() as patched:
        patched.setattr(erasing, "_erase_rows", overtaken)
        with pytest.raises(UsageError, match="has come to this contact meanwhile; run the command again"):
            forget_ann(importing)
    forget_ann(importing)
    assert [one["identifier"] for one in importing.contacts()] == ["ben-002"]


def test_the_same_address_later_makes_another_contact(importing: Importing) -> None:
    importing(PEOPLE)
    before = forget_ann(importing).contact_id
    importing(PEOPLE, name="again.csv")
    [ann] = [one for one in importing.contacts(history=True) if one["identifier"] == "ann-001"]
    assert ann["contact_id"] != before and len(ann["history"]) == 1


def test_an_erased_contact_is_not_erased_twice(importing: Importing) -> None:
    importing(PEOPLE)
    contact_id = forget_ann(importing).contact_id
    with pytest.raises(UsageError, match=f"Contact {contact_id} was erased on .* \\(erasure 1\\)"):
        forget(importing.store, NoRuns(), contact_id, by="the test")
    with pytest.raises(UsageError, match="There is no contact with id 4711"):
        forget(importing.store, NoRuns(), 4711, by="the test")


def test_an_address_that_has_passed_to_another_contact_is_theirs(importing: Importing) -> None:
    importing(PEOPLE)
    importing("user.Email,user.Identifier\nann@new.org,ann-001\nann@x.org,ben-002\n", name="passed.csv")
    later = importing("user.Email,user.Identifier,user.LastName\nann@x.org,ben-002,Later\n", name="later.csv")
    ben = [one for one in importing.contacts(history=True) if one["identifier"] == "ben-002"]
    forget_ann(importing)
    assert importing.contacts(history=True) == ben
    assert importing.changes(later) == {2: {"last_name": ["Bloggs", "Later"]}}


def test_an_address_that_another_contact_had_for_a_while_leaves_their_history(importing: Importing) -> None:
    importing(PEOPLE)
    importing("user.Email,user.Identifier\nann@new.org,ann-001\nann@x.org,ben-002\n", name="passed.csv")
    importing("user.Email,user.Identifier\nben@new.org,ben-002\n", name="back.csv")
    forget_ann(importing)
    with importing.store.engine.connect() as connection:
        left = [changes for (changes,) in connection.execute(select(contact_change.c.changes))]
    assert "ann@" not in str(left) and [one["email"] for one in importing.contacts()] == ["ben@new.org"]


def test_of_two_contacts_with_one_identifier_the_other_stays_findable(importing: Importing) -> None:
    importing.seed("user.Email,user.Identifier\nann@x.org,ann-001\ntwin@x.org,ann-001\n")
    ambiguous = importing("user.Email,user.Identifier\nnew@x.org,ann-001\n", name="ambiguous.csv")
    [ann] = [one["contact_id"] for one in importing.contacts() if one["email"] == "ann@x.org"]
    forget(importing.store, NoRuns(), ann, by="the test")
    assert importing.column("email", "identifier") == [("twin@x.org", "ann-001")]
    assert "identifier ann-001 belongs to 2 contacts" in importing.messages(ambiguous)[2]


def test_what_was_removed_is_said_and_never_read_again(importing: Importing, store: Store) -> None:
    entry = importing(PEOPLE)
    forget_ann(importing)
    with store.engine.connect() as connection:
        [raw] = find_removals(connection, entry.import_id)
    assert f"The raw file of import {entry.import_id} was removed on" in str(raw)
    assert "by contacts forget (erasure 1)." in str(raw)
    with import_stage(store, entry.import_id):
        assert archive_raw_file(store, entry.import_id).sha256
    with pytest.raises(Removed, match="raw file"):
        write_report(store, entry.import_id)
    assert "ann" not in (store.settings.report_dir(entry.import_id) / "changes.csv").read_text()


def test_after_retention_there_is_less_to_erase(importing: Importing, store: Store) -> None:
    importing(PEOPLE)
    retain(store, 91)
    erased = forget_ann(importing).erased
    assert {name: number for name, number in erased.items() if number} == {
        "contacts": 1, "memberships": 1, "history": 1,
    }  # fmt: skip


def drop_archive(importing: Importing, contents: dict[str, str]) -> list[str]:
    """A dropped archive, claimed as the sensor does, and imported file by file."""
    store = importing.store
    file = store.settings.drop_dir / "crm" / "all.zip"
    file.parent.mkdir(parents=True)
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    with store.engine.begin() as connection:
        options = ImportOptions(group=GROUP, use_external_identifier=True)
        ids = register_arrival(connection, store.settings, file, options, automation="crm")
        for import_id in ids:
            mark_claimed(connection, import_id)
    claimed = importing.entry(ids[0]).arrived_path
    claimed.parent.mkdir(parents=True)
    file.rename(claimed)
    for import_id in ids:
        importing.run(import_id)
    return ids


def test_an_archive_goes_as_a_whole_and_the_unpacked_file_of_others_stays(importing: Importing) -> None:
    others = "user.Email,user.Identifier\ncem@x.org,cem-003\n"
    theirs, other = drop_archive(importing, {"theirs.csv": PEOPLE, "others.csv": others})
    settled = Path(importing.entry(other).settled_path or "")
    assert settled.is_file()
    foretold, done = forget_ann(importing, dry_run=True), forget_ann(importing)
    assert foretold.removed == done.removed and foretold.erased == done.erased
    assert done.removed.count(str(settled)) == 1 and done.erased["settled_files"] == 1
    assert not settled.exists()
    folder = importing.store.settings.import_dir
    assert not (folder(theirs) / "raw").exists() and (folder(other) / "raw" / "others.csv").read_text() == others


def test_what_reverts_and_pages_tell_of_the_person_goes_too(importing: Importing) -> None:
    """A revert keeps what others changed since, with the values; the page of a report may name identifiers."""
    importing(PEOPLE)
    second = importing("user.Identifier,user.LastName\nann-001,Marchbanks\nben-002,Bloggs\n", name="second.csv")
    importing("user.Identifier,user.LastName\nann-001,Thackeray\n", name="third.csv")
    revert = revert_and_finish(importing.store, second.import_id)
    assert (revert.restored, revert.kept) == (0, 1)
    marks = {"Quirrel", "Marchbanks", "Thackeray", "ann@x.org", "ann-001"}
    report = str((importing.store.settings.report_dir(revert.import_id)).relative_to(importing.store.settings.root))
    database = importing.store.engine.url.database
    settings = importing.store.settings.model_copy(update={"dagster_database": database})
    before = places_of(settings, marks)
    assert f"{report}/not_restored.csv" in before["Marchbanks"] and before.keys() == marks
    forget_ann(importing)
    assert places_of(settings, marks) == {}


def test_a_contact_that_a_revert_removed_can_be_erased_by_its_id(importing: Importing) -> None:
    """What an undo could bring back is still kept."""
    entry = importing(PEOPLE)
    [ann] = [one["contact_id"] for one in importing.contacts() if one["identifier"] == "ann-001"]
    revert = revert_and_finish(importing.store, entry.import_id)
    assert importing.contacts() == []
    forget(importing.store, NoRuns(), ann, by="the test")
    database = importing.store.engine.url.database
    settings = importing.store.settings.model_copy(update={"dagster_database": database})
    assert places_of(settings, {"Quirrel", "ann@x.org", "ann-001"}) == {}
    revert_and_finish(importing.store, revert.import_id)
    assert importing.column("identifier") == [("ben-002",)]


def test_an_id_that_no_contact_can_have_is_nobody_s(importing: Importing) -> None:
    with pytest.raises(UsageError, match="no contact with id 99999999999999999999"):
        forget(importing.store, NoRuns(), 99999999999999999999, by="the test")


def test_a_text_that_begins_as_an_archive_does_is_a_text(importing: Importing) -> None:
    """Two letters make no ZIP file: the person is found in it."""
    importing(PEOPLE)
    failed = importing.register("PK\nann-001,Quirrel\n", name="wrong.csv")
    with pytest.raises(FileError):
        importing.run(failed, STAGES)
    assert (importing.store.settings.import_dir(failed) / "raw").is_dir()
    forgotten = forget_ann(importing)
    assert any(failed in path for path in forgotten.removed)
