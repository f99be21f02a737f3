"""Scenarios are installations of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engage_etl.settings import Settings
from engage_etl_tests.own_dagster import own_dagster


@pytest.fixture
def settings(settings: Settings) -> Iterator[Settings]:
    """An installation whose Dagster knows nothing of other tests."""
    with own_dagster(settings) as own:
        yield own
