"""What ships: the wheel, and the versions that are pinned for it. ``make sbom`` installs both and runs the demo."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from email import message_from_bytes
from itertools import chain
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parent.parent
PIN = re.compile(r"^([A-Za-z][^ \n]*)(?: ;.*)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=PROJECT, check=True, timeout=120
    )
    return next(folder.iterdir())


def test_the_wheel_holds_every_file_that_the_program_reads(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "engage_etl", "dbt", "data/samples"],
        cwd=PROJECT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    places = {"dbt/": "engage_etl/marts/dbt_project/", "data/samples/": "engage_etl/cli/samples/"}
    expected = set(tracked.rstrip("\0").split("\0"))
    for folder, place in places.items():
        expected = {re.sub(f"^{folder}", place, name) for name in expected}
    with ZipFile(wheel) as opened:
        held = {name for name in opened.namelist() if ".dist-info/" not in name}
    left_out = {name for name in expected - held if not name.endswith((".gitignore", "README.md"))}
    assert left_out == set()
    assert held - expected == set()


def test_the_wheel_asks_for_what_the_project_file_says(wheel: Path) -> None:
    with ZipFile(wheel) as opened:
        name = next(name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(opened.read(name))
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert len(required) == len(project["dependencies"])
    assert set(metadata.get_all("Provides-Extra", [])) == set(project["optional-dependencies"])


def pins(lock: str) -> dict[str, frozenset[str]]:
    """The hashes of each pinned version of a lock file."""
    text = (PROJECT / lock).read_text()
    found = PIN.findall(text)
    assert len(found) == len(re.findall(r"^[A-Za-z]", text, re.MULTILINE)), "a package without a version or hash"
    return {pin: frozenset(re.findall(r"[0-9a-f]{64}", hashes)) for pin, hashes in found}


def test_what_ships_is_pinned_to_what_is_tested() -> None:
    shipped, tested = pins("requirements.runtime.lock"), pins("requirements.lock")
    assert shipped.items() <= tested.items()
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    wanted = chain(project["dependencies"], *project["optional-dependencies"].values())
    names = {canonicalize_name(Requirement(pin).name) for pin in shipped}
    assert {canonicalize_name(Requirement(line).name) for line in wanted} <= names
    assert "pytest" not in names


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements.runtime.lock"])
def test_locks_name_no_address(lock: str) -> None:
    text = (PROJECT / lock).read_text()
    assert "://" not in text and "index-url" not in text and "find-links" not in text
