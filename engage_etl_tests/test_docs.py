"""The documentation says what the program does: pages made from it are current, commands in it exist."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from engage_etl.settings import Settings
from engage_etl.store.engine import open_store
from engage_etl.store.imports import list_imports
from engage_etl.vocabulary.outcomes import Outcome, Reason
from engage_etl_tests.cli.commands import environment
from engage_etl_tests.own_dagster import own_dagster

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def from_docs(name: str) -> ModuleType:
    """A module that makes pages of the documentation."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(ROOT / "docs"))


def generator() -> ModuleType:
    return from_docs("generate")


def commands() -> dict[str, Any]:
    """All commands with their words, as in ``imports list``."""
    return dict(from_docs("command_reference").commands())


def shown_commands(page: Path) -> Iterator[str]:
    """The lines of fenced or indented blocks that start with ``engage-etl``."""
    for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        yield from (line for line in block.splitlines() if line.startswith("engage-etl"))


@pytest.mark.parametrize("page", generator().pages(), ids=lambda page: page.name)
def test_pages_made_from_the_code_are_current(page: Path) -> None:
    expected = generator().pages()[page]
    assert page.read_text(encoding="utf-8") == expected, "run `make docs`"


def test_every_command_is_described_and_has_help() -> None:
    guide = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    assert [words for words in commands() if f"engage-etl {words}" not in guide] == []
    assert [words for words, command in commands().items() if not command.help] == []


TASKS = ROOT / "docs" / "tasks.md"
ENDING_OTHERWISE = {"--approval required": 1}
"""Exit codes of commands that do not end with 0, by a part of them; the page says so too."""


@pytest.mark.longest
@pytest.mark.scenario
def test_the_guide_by_task_works_from_top_to_bottom(settings: Settings, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "data" / "samples", tmp_path / "data" / "samples")
    with own_dagster(settings.model_copy(update={"data_dir": tmp_path / "data"})) as own:
        given = environment(own) | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        for kind, block in re.findall(r"^```(\w+)\n(.*?)^```", TASKS.read_text(), re.DOTALL | re.MULTILINE):
            if kind == "yaml":
                (tmp_path / "data" / "automations.yaml").write_text(block)
            for line in block.splitlines() if kind == "bash" else []:
                command = re.sub(r"\bID\b", lambda _: latest_import(own), line)
                ended = subprocess.run(
                    ["/bin/sh", "-c", command], cwd=tmp_path, env=given, capture_output=True, text=True, check=False
                )
                expected = next((code for part, code in ENDING_OTHERWISE.items() if part in line), 0)
                assert ended.returncode == expected, f"{command}: {ended.stderr}"
    with open_store(settings) as store, store.engine.connect() as connection:
        assert [entry.status for entry in list_imports(connection)] == [
            "applied", "reverted", "applied", "applied", "applied", "applied", "applied", "planned",
        ]  # fmt: skip


def latest_import(settings: Settings) -> str:
    """The id of the import that was done last."""
    with open_store(settings) as store, store.engine.connect() as connection:
        return list_imports(connection, limit=1)[0].import_id


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_are_shown_exist_with_their_options(page: Path) -> None:
    known = commands()
    for line in shown_commands(page):
        words = shlex.split(line)[1:]
        name = next((" ".join(words[:count]) for count in (2, 1) if " ".join(words[:count]) in known), None)
        assert name is not None, f"{page.name}: {line}"
        allowed = {option for parameter in known[name].params for option in parameter.opts}
        used = {word.split("=")[0] for word in words if word.startswith("--")}
        assert used <= allowed | {"--help"}, f"{page.name}: {line}"


def test_commands_mentioned_in_sentences_exist() -> None:
    known = commands()
    first_words = {words.split()[0] for words in known}
    for page in PAGES:
        for mentioned in re.findall(r"`engage-etl ([a-z]+)(?: ([a-z]+))?", page.read_text(encoding="utf-8")):
            assert mentioned[0] in first_words, f"{page.name}: engage-etl {' '.join(mentioned)}"


def test_every_chore_is_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    chores = set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE))
    text = "\n".join(page.read_text(encoding="utf-8") for page in [*PAGES, ROOT / "CONTRIBUTING.md"])
    assert set(re.findall(r"(?:`|^    )make ([a-z]+)", text, re.MULTILINE)) <= chores


def test_every_outcome_is_in_the_guide_and_no_reason_is_invented() -> None:
    guide = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    assert [outcome for outcome in Outcome if f"`{outcome.value}`" not in guide] == []
    table = re.findall(r"^\| `(\w+)` \| (skipped|rejected) \|", guide, re.MULTILINE)
    assert {reason: Reason(reason).outcome.value for reason, _ in table} == dict(table)


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", *(ROOT / "docs" / "decisions").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"


def test_the_site_is_built_with_all_pages_and_links_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    """Strict: a page that the navigation lacks, or a link or anchor that leads nowhere, is an error."""
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        check=True,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )
    loaded = {
        address
        for page in tmp_path.rglob("*.html")
        for address in re.findall(r"<(?:script|link|img)[^>]*?(?:src|href)=.?(https?://[^\s>\"]+)", page.read_text())
    }
    assert loaded == set()


def test_settings_that_are_named_exist() -> None:
    known = set(re.findall(r"ENGAGE_[A-Z_]+", (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")))
    for page in [*PAGES, ROOT / "data" / "README.md"]:
        assert set(re.findall(r"ENGAGE_[A-Z_]+", page.read_text(encoding="utf-8"))) <= known


def test_sample_files_that_are_named_exist() -> None:
    for page in PAGES:
        for name in re.findall(r"data/samples/[\w./-]+", page.read_text(encoding="utf-8")):
            assert (ROOT / name).exists(), f"{page.name}: {name}"
