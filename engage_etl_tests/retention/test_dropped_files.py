"""R42: files in ``done/`` and ``failed/`` go with the report beside them; an archive waits for all of its imports."""

from __future__ import annotations

import os

from engage_etl.store.imports import Import, find_import
from engage_etl_tests.retention.ageing import age, retain, with_settings
from engage_etl_tests.triggers.test_arrivals import Drops, drops
from engage_etl_tests.triggers.test_dropped_archives import drop_archive, end

__all__ = ["drops"]


def ended_archive(drops: Drops) -> list[Import]:
    _, entries = drop_archive(drops, "a.csv", "b.csv")
    for entry in entries:
        end(drops.store, entry, "applied")
    with drops.store.engine.connect() as connection:
        return [find_import(connection, entry.import_id) for entry in entries]


def test_an_archive_stays_until_the_last_of_its_imports_is_old(drops: Drops) -> None:
    first, second = ended_archive(drops)
    settled = drops.store.settings.root / (first.settled_path or "")
    age(drops.store, first.import_id, 100)
    age(drops.store, second.import_id, 80)
    assert retain(drops.store, 0)["settled_file"].files == 0 and settled.is_file()
    age(drops.store, second.import_id, 91)
    foretold, done = (retain(drops.store, 0, dry_run=dry)["settled_file"] for dry in (True, False))
    assert foretold == done and done.files == 1 and not settled.exists()
    assert not os.path.lexists(settled.parent)


def test_a_report_that_is_kept_longer_stays_reachable_from_where_the_file_was(drops: Drops) -> None:
    store = with_settings(drops.store, keep_reports_days=200)
    first, second = ended_archive(drops)
    settled = store.settings.root / (first.settled_path or "")
    for entry in (first, second):
        age(store, entry.import_id, 100)
    retain(store, 0)
    assert not settled.exists()
    assert (settled.parent / f"report.{first.import_id}" / "summary.json").is_file()
    for entry in (first, second):
        age(store, entry.import_id, 201)
    retain(store, 0)
    assert not os.path.lexists(settled.parent) and not store.settings.report_dir(first.import_id).exists()
