"""A real Dagster instance on the test server, and an automation with its drop folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from engage_etl.settings import Settings
from engage_etl.triggers.instance import open_instance
from engage_etl_tests.own_dagster import own_dagster

AUTOMATIONS = """
automations:
  - name: crm
    group: Newsletter
    source: drop/crm
    pattern: "*.csv"
    additional-parameters:
      source-use-customeridentifier: "true"
"""


@pytest.fixture
def dagster_settings(settings: Settings) -> Iterator[Settings]:
    """The settings of an installation whose Dagster has a database of its own."""
    with own_dagster(settings) as own:
        yield own


@pytest.fixture
def instance(dagster_settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of the installation."""
    with open_instance(dagster_settings) as opened:
        yield opened


@pytest.fixture
def folder(settings: Settings) -> Path:
    """The drop folder of the automation ``crm``."""
    source = settings.drop_dir / "crm"
    source.mkdir(parents=True)
    settings.automations_file.write_text(AUTOMATIONS)
    return source
