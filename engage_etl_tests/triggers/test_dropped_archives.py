"""R26, R40: a dropped archive is claimed once, imported file by file, and put away when the last import has ended."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from engage_etl.raw_file.settling import settle_file
from engage_etl.stage_run import finish_import
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, find_import, update_import
from engage_etl.triggers.arrivals import recover_claims
from engage_etl.triggers.outbox import settle_ended
from engage_etl_tests.triggers.test_arrivals import Drops, drops

__all__ = ["drops"]


def drop_archive(drops: Drops, *names: str) -> tuple[Path, list[Import]]:
    crm = drops.automation("crm")
    file = crm.source / "all.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "user.Identifier\n1\n")
    return file, drops.take()


def end(store: Store, entry: Import, status: str) -> Path | None:
    with store.engine.begin() as connection:
        update_import(connection, entry.import_id, status=status)
    finish_import(store, entry.import_id)
    return settle_file(store, entry.import_id)


def test_one_claim_many_imports(drops: Drops) -> None:
    file, entries = drop_archive(drops, "a.csv", "b.csv")
    assert [entry.file for entry in entries] == ["all.zip/a.csv", "all.zip/b.csv"]
    assert {entry.is_claimed for entry in entries} == {True}
    (claimed,) = {entry.arrived_path for entry in entries}
    assert claimed.is_file() and not file.exists()
    assert drops.take() == []


@pytest.mark.parametrize(("statuses", "kind"), [(("applied", "applied"), "done"), (("failed", "applied"), "failed")])
def test_the_last_import_puts_the_archive_away(drops: Drops, statuses: tuple[str, str], kind: str) -> None:
    _, (first, second) = drop_archive(drops, "a.csv", "b.csv")
    assert end(drops.store, first, statuses[0]) is None
    assert first.arrived_path.is_file()
    settled = end(drops.store, second, statuses[1])
    assert settled == drops.store.settings.root / kind / "crm" / first.import_id / "all.zip"
    assert settled.is_file()
    reports = sorted(path.resolve().name for path in settled.parent.iterdir() if path.name.startswith("report"))
    assert reports == sorted([first.import_id, second.import_id])
    assert {entry.settled_path for entry in drops.registered()} == {str(settled)}


def test_a_killed_process_leaves_it_to_the_next_look(drops: Drops) -> None:
    _, (first, second) = drop_archive(drops, "a.csv", "b.csv")
    with drops.store.engine.begin() as connection:
        update_import(connection, first.import_id, status="applied")
    complaints: list[str] = []
    settle_ended(drops.store, complaints.append)
    assert first.arrived_path.is_file()
    with drops.store.engine.begin() as connection:
        update_import(connection, second.import_id, status="applied")
    settle_ended(drops.store, complaints.append)
    assert complaints == []
    with drops.store.engine.connect() as connection:
        assert "/done/crm/" in (find_import(connection, second.import_id).settled_path or "")


def test_a_claim_that_a_kill_cut_short_is_finished_for_all(drops: Drops) -> None:
    file, entries = drop_archive(drops, "a.csv", "b.csv")
    with drops.store.engine.begin() as connection:
        for entry in entries:
            update_import(connection, entry.import_id, is_claimed=False)
    entries[0].arrived_path.rename(file)
    recover_claims(drops.store)
    assert [entry.is_claimed for entry in drops.registered()] == [True, True]
    assert entries[0].arrived_path.is_file()


def test_a_broken_archive_is_one_import(drops: Drops) -> None:
    crm = drops.automation("crm")
    drops.drop(crm, "broken.zip", "PK\3\4 and nothing else")
    [entry] = drops.take()
    assert (entry.file, entry.entry) == ("broken.zip", None)
