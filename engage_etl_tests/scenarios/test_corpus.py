"""Every file of the corpus has the outcome that stands beside it (R23-R26 and the rules for values)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from engage_etl.errors import FileError
from engage_etl.store.imports import Import
from engage_etl_tests.importing import Importing

CORPUS = Path(__file__).parents[1] / "corpus"
SEED = "user.Email,user.Identifier,user.FirstName\nann@x.org,1,Ann\nbob@x.org,2,Bob\n"
FILES = sorted(path.with_suffix("").with_suffix("") for path in CORPUS.glob("*.expected.yaml"))


def test_each_file_has_an_expectation_and_each_expectation_a_file() -> None:
    others = {
        path for path in CORPUS.iterdir() if path.name != "README.md" and not path.name.endswith(".expected.yaml")
    }
    assert others == set(FILES)
    assert len(FILES) >= 60


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_outcome(importing: Importing, file: Path) -> None:
    importing.seed(SEED)
    expected = YAML(typ="safe").load(Path(f"{file}.expected.yaml").read_text(encoding="utf-8"))
    given = {"max_rejected": "100%"} | expected.get("options", {})
    if "error" in expected:
        before = importing.contacts()
        code, told = expected["error"]
        with pytest.raises(FileError) as raised:
            importing(file, **given)
        assert raised.value.code == code
        assert told in str(raised.value) and file.name in str(raised.value)
        assert importing.contacts() == before
        return
    entry = importing(file, **given)
    judge_rows(importing, entry, expected["rows"])
    assert_warnings(entry, expected.get("warnings", []))
    found = {contact["identifier"]: contact for contact in importing.contacts()}
    for identifier, fields in expected.get("contacts", {}).items():
        assert {name: found[identifier][name] for name in fields} == fields


def judge_rows(importing: Importing, entry: Import, expected: list[list[Any]]) -> None:
    wanted = [(row[0], row[1], row[2] if len(row) > 2 else None) for row in expected]
    assert importing.rows(entry) == wanted, importing.messages(entry)
    assert entry.rows == len(expected)
    messages = importing.messages(entry)
    for row in expected:
        if len(row) > 3:
            assert row[3] in messages[row[0]]


def assert_warnings(entry: Import, expected: list[str]) -> None:
    assert len(entry.warnings) == len(expected), entry.warnings
    for warning, part in zip(entry.warnings, expected, strict=True):
        assert part in warning
