"""A real Dagster instance on the test server, and an automation with its drop folder."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from psycopg import sql

from engage_etl.settings import Settings
from engage_etl.triggers.instance import open_instance

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
    """The settings of an installation whose Dagster has a database of its own; the environment is put back."""
    name, before = f"dagster_{uuid.uuid4().hex[:12]}", dict(os.environ)
    yield settings.model_copy(update={"dagster_database": name})
    os.environ.clear()
    os.environ.update(before)
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


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
