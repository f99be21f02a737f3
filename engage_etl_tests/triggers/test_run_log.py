"""What a run prints: one line of ours for what ends a step, and a stack for what nobody foresaw."""

from __future__ import annotations

import json

import dagster as dg
import pytest

from engage_etl.settings import Settings
from engage_etl.triggers.jobs import IMPORT_CONTACTS, import_definitions
from engage_etl.triggers.run_log import PRINTING
from engage_etl.validated_rows import stage
from engage_etl_tests.cli.commands import environment
from engage_etl_tests.importing import Importing


@pytest.fixture
def of_tests(monkeypatch: pytest.MonkeyPatch, dagster_settings: Settings) -> None:
    """Assets read the settings from the environment."""
    for name, value in (environment(dagster_settings) | {"ENGAGE_LOG_FORMAT": "json"}).items():
        monkeypatch.setenv(name, value)


def printed(importing: Importing, instance: dg.DagsterInstance, content: str, capfd: pytest.CaptureFixture[str]) -> str:
    """What the run of an import prints that fails."""
    import_id = importing.register(content)
    instance.add_dynamic_partitions("import_id", [import_id])
    job = import_definitions().resolve_job_def(IMPORT_CONTACTS)
    capfd.readouterr()
    result = job.execute_in_process(
        instance=instance, partition_key=import_id, run_config=PRINTING, raise_on_error=False
    )
    assert not result.success
    return "".join(capfd.readouterr())


def test_what_our_line_says_is_not_said_again(
    importing: Importing, instance: dg.DagsterInstance, of_tests: None, capfd: pytest.CaptureFixture[str]
) -> None:
    said = printed(importing, instance, "user.Identifier,user.Emial\n1,a@x.org\n", capfd)
    assert "Stack Trace" not in said and "STEP_FAILURE" not in said and "Dependencies for step" not in said


def test_what_nobody_foresaw_is_an_object_with_its_stack(
    importing: Importing,
    instance: dg.DagsterInstance,
    of_tests: None,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stage, "validate_rows", lambda *_: 1 / 0)
    said = printed(importing, instance, "user.Identifier,user.Email\n1,a@x.org\n", capfd)
    [line] = [json.loads(line) for line in said.splitlines() if "ZeroDivisionError" in line]
    assert (line["level"], line["logger"]) == ("error", "dagster") and "Stack Trace" in line["event"]
    assert set(line) <= {"level", "logger", "event", "timestamp"}
