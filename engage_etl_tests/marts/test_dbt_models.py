"""The dbt project builds in the store, and its tests are checks of the assets."""

from __future__ import annotations

from pathlib import Path

from dagster import ExecuteInProcessResult, materialize
from sqlalchemy import MetaData, Table, func, select

from engage_etl.marts.asset import mart_assets
from engage_etl.store.engine import Store
from engage_etl.store.imports import register_import, update_import
from engage_etl.vocabulary.options import ImportOptions
from engage_etl.vocabulary.outcomes import Status


def register(store: Store, **values: object) -> str:
    with store.engine.begin() as connection:
        import_id = register_import(connection, Path("contacts.csv"), ImportOptions(group="Newsletter"))
        update_import(connection, import_id, **values)
    return import_id


def build(store: Store) -> ExecuteInProcessResult:
    return materialize([mart_assets(store.settings)], raise_on_error=False)


def failed_checks(result: ExecuteInProcessResult) -> set[str]:
    return {check.check_name for check in result.get_asset_check_evaluations() if not check.passed}


def test_there_is_one_row_per_import_and_r38_is_checked(store: Store) -> None:
    planned = func.now()
    applied = register(
        store, status=Status.APPLIED, rows=4, created=1, updated=1, skipped=1, rejected=1, planned_at=planned
    )
    result = build(store)
    assert result.success and failed_checks(result) == set()
    imports = Table("imports", MetaData(), schema="marts", autoload_with=store.engine)
    with store.engine.connect() as connection:
        rows = connection.execute(select(imports.c.import_id, imports.c.automation, imports.c.share_rejected)).all()
    assert [(*row,) for row in rows if row.import_id == applied] == [(applied, "manual", 0.25)]

    register(store, status=Status.PLANNED, rows=4, created=1, planned_at=planned)
    assert failed_checks(build(store)) == {"outcome_counts_add_up"}
