"""dbt's manifest is made once per state of the project, whoever asks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from engage_etl.marts import project
from engage_etl.marts.asset import marts_definitions
from engage_etl.marts.project import DbtFailed, build_models, prepare_manifest, read_lineage
from engage_etl.settings import Settings

MANIFEST = {
    "nodes": {
        "model.p.imports": {
            "resource_type": "model", "name": "imports", "description": "One row per import.", "schema": "marts",
            "alias": "imports", "columns": {}, "depends_on": {"nodes": ["source.p.engage.import_register"]},
        },
        "test.p.add_up": {
            "resource_type": "test", "name": "add_up", "depends_on": {"nodes": ["model.p.imports"]},
        },
    }
}  # fmt: skip


@pytest.fixture
def parses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls of dbt, which is replaced by one that writes a small manifest."""
    calls: list[str] = []

    def run(arguments: list[str], target: Path, connection: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        calls.append(arguments[0])
        time.sleep(0.05)  # as long as another thread needs to ask meanwhile
        (target / "manifest.json").write_text(json.dumps(MANIFEST))
        return subprocess.CompletedProcess(arguments, 0, "")

    monkeypatch.setattr(project, "_run_dbt", run)
    monkeypatch.setattr(project, "shipped_manifests", lambda: Path("none"))
    return calls


def test_the_manifest_is_made_once_even_if_many_ask_at_once(tmp_path: Path, parses: list[str]) -> None:
    settings = Settings(data_dir=tmp_path)
    with ThreadPoolExecutor(4) as threads:
        made = set(threads.map(lambda _: prepare_manifest(settings), range(4)))
    assert parses == ["parse"]
    assert len(made) == 1 and made.pop().is_file()


def test_it_is_made_again_when_the_project_changes(
    tmp_path: Path, parses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "project"
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text("name: p")
    monkeypatch.setattr(project, "project_dir", lambda: folder)
    settings = Settings(data_dir=tmp_path)
    first = prepare_manifest(settings)
    (folder / "models" / "more.sql").write_text("select 1")
    second = prepare_manifest(settings)
    assert parses == ["parse", "parse"]
    assert not first.exists() and second.is_file()


def test_one_comes_with_the_project_so_that_nobody_waits_for_dbt(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert prepare_manifest(settings).parent == project.shipped_manifests(), "the project changed: run `make manifest`"
    assert list(tmp_path.iterdir()) == []
    assert len(list(project.shipped_manifests().iterdir())) == 1


def test_what_comes_with_the_project_says_what_dbt_says(tmp_path: Path) -> None:
    project.parse_project(tmp_path, tmp_path / "made.json")
    assert read_lineage(project.shipped_manifests() / project.manifest_name()) == read_lineage(tmp_path / "made.json")


def test_models_and_tests_are_read_from_it(tmp_path: Path, parses: list[str]) -> None:
    lineage = read_lineage(prepare_manifest(Settings(data_dir=tmp_path)))
    assert [(model.name, model.relation, model.reads_store) for model in lineage.models] == [
        ("imports", "marts.imports", True)
    ]
    assert [(test.name, test.model) for test in lineage.tests] == [("add_up", "imports")]


def test_a_mistake_in_the_dbt_project_leaves_imports_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def run(*_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 2, "Compilation Error\n  model 'imports' depends on 'nothing'")

    monkeypatch.setattr(project, "_run_dbt", run)
    monkeypatch.setattr(project, "shipped_manifests", lambda: Path("none"))
    settings = Settings(data_dir=tmp_path)
    with pytest.raises(DbtFailed, match="depends on 'nothing'"):
        prepare_manifest(settings)
    assert not list(marts_definitions(settings).assets or [])
    assert "depends on 'nothing'" in caplog.text


def test_building_the_models_gives_way_to_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """dbt is replaced by a program that prints how nice it is."""
    ended: list[subprocess.CompletedProcess[str]] = []
    run_for_real = subprocess.run

    def run(command: list[str], **given: Any) -> subprocess.CompletedProcess[str]:
        python = command.index(sys.executable)
        ended.append(run_for_real([*command[: python + 1], "-c", "import os; print(os.nice(0))"], **given))
        return ended[-1]

    monkeypatch.setattr(project.subprocess, "run", run)
    with pytest.raises(DbtFailed):
        build_models(Settings(data_dir=tmp_path), ["imports"], {})
    assert int(ended[0].stdout) == min(os.nice(0) + 10, 19)
