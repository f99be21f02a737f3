"""The dbt models refresh after imports are applied, and no applied import is forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from dagster import (
    AssetKey,
    AssetMaterialization,
    AssetSpec,
    DagsterInstance,
    Definitions,
    DynamicPartitionsDefinition,
    MaterializeResult,
    evaluate_automation_conditions,
    materialize,
    multi_asset,
)

from engage_etl.marts.asset import refresh_condition

MODEL = AssetKey("imports")
APPLIED = AssetSpec("applied_updates", partitions_def=DynamicPartitionsDefinition(name="import_id"))


@pytest.fixture
def instance() -> DagsterInstance:
    return DagsterInstance.ephemeral()


@pytest.fixture
def looks(instance: DagsterInstance) -> Callable[[list[str]], int]:
    """One look of the sensor after some imports were applied; returns how many runs of the model it asks for."""
    return looking_at(
        Definitions([APPLIED, AssetSpec(MODEL, deps=[APPLIED], automation_condition=refresh_condition())]), instance
    )


def looking_at(definitions: Definitions, instance: DagsterInstance) -> Callable[[list[str]], int]:
    """As ``looks``, for all models of some definitions."""
    cursors = [None]

    def look(imports: list[str]) -> int:
        for import_id in imports:
            instance.add_dynamic_partitions("import_id", [import_id])
            instance.report_runless_asset_event(AssetMaterialization("applied_updates", partition=import_id))
        result = evaluate_automation_conditions(definitions, instance, cursor=cursors[0])
        cursors[0] = result.cursor  # type: ignore[call-overload]
        return result.total_requested

    return look


def test_many_imports_ask_for_one_refresh(looks: Callable[[list[str]], int]) -> None:
    assert looks([]) == 0
    assert looks(["one", "two"]) == 1
    assert looks([]) == 0


def test_an_import_that_is_applied_just_after_the_models_were_asked_for_is_not_forgotten(
    looks: Callable[[list[str]], int],
) -> None:
    looks([])
    assert looks(["one"]) == 1
    assert looks(["two"]) == 1
    assert looks([]) == 0


def test_a_failed_or_waiting_import_keeps_nothing_back(looks: Callable[[list[str]], int]) -> None:
    looks([])
    assert looks(["one"]) == 1, "the partition of another import that never materializes does not matter"
    looks([])
    assert looks(["three"]) == 1


@multi_asset(
    specs=[
        AssetSpec("staged", deps=[APPLIED], automation_condition=refresh_condition()),
        AssetSpec("imports", deps=["staged"], automation_condition=refresh_condition()),
        AssetSpec("reasons", deps=["imports"], automation_condition=refresh_condition()),
    ],
    can_subset=True,
)
def chain() -> Iterator[MaterializeResult[None]]:
    """Models that read models."""
    for name in ("staged", "imports", "reasons"):
        yield MaterializeResult(asset_key=name)


def test_models_that_read_models_are_refreshed_with_them_and_once(instance: DagsterInstance) -> None:
    looks = looking_at(Definitions([APPLIED, chain]), instance)
    assert looks([]) == 0
    assert looks(["one"]) == 3
    materialize([chain], instance=instance)
    assert [looks([]), looks([])] == [0, 0], "the run that built all of them asks for no other"
    assert looks(["two"]) == 3
