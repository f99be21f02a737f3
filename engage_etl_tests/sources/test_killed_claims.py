"""R40: whenever a look is killed, each file is imported once in the end, and none is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from engage_etl_tests.cli.commands import environment
from engage_etl_tests.sources.dropping import Drops

AT_LEAST = 8
"""Requests and commits of one claim, before each of which a look is killed."""


def strike(drops: Drops, given: dict[str, Any]) -> int:
    """Kill look after look; returns how many."""
    ended = subprocess.run(
        [sys.executable, "-m", "engage_etl_tests.sources.striking_claims", str(drops.source)],
        env=environment(drops.store.settings) | {f"ENGAGE_{name.upper()}": str(value) for name, value in given.items()},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return int(ended.stdout)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
@pytest.mark.parametrize("kind", ["s3", "sftp"])
def test_r40_killed_at_any_moment_of_a_claim(request: pytest.FixtureRequest, kind: str) -> None:
    drops: Drops = request.getfixturevalue(f"{kind}_drops")
    struck = strike(drops, {} if kind == "s3" else request.getfixturevalue("sftp").settings())
    assert struck >= AT_LEAST
    drops.take()
    assert drops.complaints == []
    entries = drops.registered()
    assert sorted(entry.file for entry in entries) == [f"{number:02d}.csv" for number in range(1, struck + 2)]
    assert all(entry.is_claimed for entry in entries)
    expected = sorted(f".claimed/{entry.import_id}/{entry.file}" for entry in entries)
    if kind == "s3":
        found = [key.removeprefix("in/") for key in request.getfixturevalue("bucket").list_keys()]
    else:
        folder = request.getfixturevalue("sftp").folder
        found = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
    assert found == expected
