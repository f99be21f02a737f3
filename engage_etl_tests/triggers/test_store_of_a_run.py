"""The stages of a run share one open store."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
import pytest

from engage_etl.settings import Settings
from engage_etl.store.engine import Store, connect_engine
from engage_etl.triggers.instance import environment
from engage_etl.triggers.resources import StoreResource


@pytest.fixture
def resource(dagster_settings: Settings) -> StoreResource:
    os.environ.update(environment(dagster_settings))
    return StoreResource()


def test_it_is_opened_once_and_closed_when_the_run_ends(resource: StoreResource) -> None:
    seen: list[Store] = []

    @dg.asset
    def one(store: StoreResource) -> None:
        seen.append(store.open())

    @dg.asset(deps=[one])
    def other(store: StoreResource) -> None:
        seen.append(store.open())
        assert seen[0].engine.pool.checkedin() == 1  # type: ignore[attr-defined]

    assert dg.materialize([one, other], resources={"store": resource}).success
    assert seen[0] is seen[1]
    assert seen[0].engine.pool.checkedin() == 0  # type: ignore[attr-defined]


def test_it_is_opened_anew_if_its_server_has_gone_since(
    resource: StoreResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = resource.open()
    assert resource.open() is first
    monkeypatch.setattr(Store, "answers", lambda _: False)
    assert resource.open() is not first
    resource.close()


def test_a_store_whose_server_does_not_answer(resource: StoreResource, tmp_path: Path) -> None:
    gone = Settings(data_dir=tmp_path, database_url="postgresql://nobody@127.0.0.1:1/engage")
    assert resource.open().answers()
    resource.close()
    assert not Store(connect_engine(gone), gone).answers()
