"""``engage-etl demo``, with another store in the environment, which it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from engage_etl.settings import Settings
from engage_etl.store.engine import Store
from engage_etl_tests.cli.commands import engage_etl

pytestmark = pytest.mark.scenario


def test_the_demo_shows_the_changes_and_leaves_other_stores_alone(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "demo"
    try:
        ended = engage_etl(settings, "demo", "--folder", folder)
    finally:
        engage_etl(settings.model_copy(update={"data_dir": folder, "database_url": None}), "db", "stop")
    assert ended.code == 0, ended.err
    assert "old.address@example.com → user@example.com" in ended.out
    for words in (
        "klara.neumann@example.org",
        "address_invalid",
        "no_standard_identifier",
        "env -u ENGAGE_DATABASE_URL",
    ):
        assert words in ended.out
    assert engage_etl(settings, "imports", "list", "--json").json == []


def test_the_demo_takes_no_folder_that_is_not_its_own(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    ended = engage_etl(settings, "demo", "--folder", tmp_path)
    assert ended.code == 2 and "is no demo's" in ended.err and (tmp_path / "mine.txt").exists()
