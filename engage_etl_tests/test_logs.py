"""The log: one line per step, for people or for machines, and without personal data (R41)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engage_etl.settings import Settings
from engage_etl_tests.cli.commands import engage_etl
from engage_etl_tests.importing import Importing

FILE = "user.Identifier,user.Email,user.FirstName\n1,ann.secret@example.com,Anneliese\n,bob.secret@example.com,Robert\n"
WRONG = "user.Identifier,user.Emial\n1,ann.secret@example.com\n"
STEPS = ["raw_file", "validated_rows", "match_plan", "applied_updates"]


@pytest.fixture
def file(importing: Importing, tmp_path: Path) -> Path:
    path = tmp_path / "contacts.csv"
    path.write_text(FILE)
    return path


def run(settings: Settings, file: Path, monkeypatch: pytest.MonkeyPatch, log_format: str) -> list[str]:
    """The lines of the log of an import by hand."""
    monkeypatch.setenv("ENGAGE_LOG_FORMAT", log_format)
    return engage_etl(
        settings, "import", file, "--group", "Newsletter", "--use-external-identifier", "--json"
    ).err.splitlines()


def test_json_has_one_object_per_step(settings: Settings, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [json.loads(line) for line in run(settings, file, monkeypatch, "json") if line.startswith("{")]
    assert [line["step"] for line in lines] == STEPS
    last = lines[-1]
    told = ("level", "event", "automation", "rows", "status")
    assert [last[name] for name in told] == ["info", "applied_updates of contacts.csv is done", None, 2, "applied"]
    assert last["outcomes"] == {"created": 1, "updated": 0, "unchanged": 0, "skipped": 0, "rejected": 1}
    assert last["import_id"].startswith("manual.contacts.") and last["seconds"] >= 0 and last["timestamp"].endswith("Z")


def test_a_file_error_is_the_last_line(settings: Settings, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(WRONG)
    lines = [json.loads(line) for line in run(settings, file, monkeypatch, "json") if line.startswith("{")]
    assert [(line["step"], line["level"]) for line in lines] == [("raw_file", "info"), ("validated_rows", "error")]
    assert "'user.Emial'" in lines[-1]["event"]


def test_text_has_the_same_lines(settings: Settings, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line for line in run(settings, file, monkeypatch, "text") if " is done" in line]
    assert [line.split("is done")[0].split()[-3] for line in lines] == STEPS
    assert all("seconds=" in line and "import_id=manual.contacts." in line for line in lines)


def test_r41_no_clear_value_is_in_any_line(settings: Settings, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n".join(run(settings, file, monkeypatch, "json"))
    assert [value for value in ("secret", "Anneliese", "Robert") if value in text] == []


def test_without_a_format_commands_log_nothing(settings: Settings, file: Path) -> None:
    ended = engage_etl(settings, "import", file, "--group", "Newsletter", "--use-external-identifier", "--json")
    assert (ended.code, ended.err) == (0, "")
