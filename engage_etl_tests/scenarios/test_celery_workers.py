"""Ten imports at once on two workers that share no disk; one is killed in the middle, and each import is applied once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from engage_etl.settings import Settings
from engage_etl.store.imports import Import, list_imports
from engage_etl.vocabulary.outcomes import Status
from engage_etl_tests.cli.commands import environment
from engage_etl_tests.importing import Importing, as_csv
from engage_etl_tests.own_dagster import own_dagster
from engage_etl_tests.scenarios.redis_and_workers import redis_server, workers
from engage_etl_tests.scenarios.service import Service, running
from engage_etl_tests.sources.services import Bucket, s3_service
from engage_etl_tests.waiting import wait_for

pytestmark = [pytest.mark.scenario, pytest.mark.longest]

IMPORTS, ROWS = 10, 120
AUTOMATION = """
  - name: crm-{number}
    group: Newsletter
    source: s3://{bucket}/in/{number}
    additional-parameters:
      source-use-customeridentifier: "true"
"""
LOST = "A step of this run was lost"
MESSAGES = (
    '{{ logsForRun(runId: "{run}") {{ ... on EventConnection {{ events {{ ... on MessageEvent {{ message }} }} }} }} }}'
)


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with s3_service() as made:
        yield made


@pytest.fixture
def spread(settings: Settings, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """An installation whose stages run in workers, with an automation for each import."""
    with redis_server(tmp_path / "redis") as broker, own_dagster(settings) as own:
        given = bucket.environment() | {
            "ENGAGE_EXECUTOR": "celery",
            "ENGAGE_CELERY_BROKER": broker,
            "ENGAGE_STORAGE_URL": f"s3://{bucket.name}/kept",
            "ENGAGE_CONCURRENT_RUNS": str(IMPORTS),
            "ENGAGE_STEP_SILENCE": "15",
            "ENGAGE_REMOTE_INTERVAL": "1",
        }
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        own.root.mkdir()
        written = (AUTOMATION.format(number=number, bucket=bucket.name) for number in range(IMPORTS))
        own.automations_file.write_text("automations:" + "".join(written))
        yield own


def rows_of(number: int) -> list[tuple[str, str, str]]:
    """Half of them are there already, with another name."""
    return [(f"{number}-{row}", f"{number}-{row}@x.org", f"Name{number}") for row in range(ROWS)]


def imports(importing: Importing) -> list[Import]:
    with importing.store.engine.connect() as connection:
        return [entry for entry in list_imports(connection) if entry.automation is not None]


def is_done(importing: Importing) -> bool:
    found = imports(importing)
    return len(found) == IMPORTS and all(entry.settled_path is not None for entry in found)


def messages_of_failed_runs(service: Service) -> list[str]:
    found = service.ask("{ runsOrError(filter: {statuses: [FAILURE]}) { ... on Runs { results { runId } } } }")
    failed = [run["runId"] for run in found["runsOrError"]["results"]]
    told = [service.ask(MESSAGES.format(run=run))["logsForRun"]["events"] for run in failed]
    return ["\n".join(event.get("message", "") for event in events) for events in told]


def test_ten_imports_at_once_and_a_worker_that_is_killed(
    importing: Importing, spread: Settings, bucket: Bucket, tmp_path: Path
) -> None:
    header = ("user.Identifier", "user.Email", "user.FirstName")
    seeded = [(key, email, "Before") for number in range(IMPORTS) for key, email, _ in rows_of(number)[: ROWS // 2]]
    importing(as_csv(header, *seeded))
    with ExitStack() as stack:
        two = stack.enter_context(workers(2, tmp_path, os.environ | environment(spread)))
        service = stack.enter_context(running(spread, tmp_path / "up.log"))
        for number in range(IMPORTS):
            bucket.put(f"in/{number}/file.csv", as_csv(header, *rows_of(number)))
        wait_for("a worker at work", lambda: two[0].is_at_work, pause=0.01)
        two[0].kill()
        wait_for("all files put away", lambda: is_done(importing))
        lost = messages_of_failed_runs(service)
        assert service.end() == 0

    found = imports(importing)
    assert [(entry.status, entry.created, entry.updated) for entry in found] == [(Status.APPLIED, 60, 60)] * IMPORTS
    assert lost and all(LOST in messages for messages in lost)
    assert sum(entry.attempts - 1 for entry in found) == len(lost)
    contacts = importing.contacts(history=True)
    assert len(contacts) == IMPORTS * ROWS
    assert {one["first_name"] for one in contacts} == {f"Name{number}" for number in range(IMPORTS)}
    # Each contact was changed once by its import, and those that were there before have one entry more.
    changes = Counter((one["identifier"], entry["import_id"]) for one in contacts for entry in one["history"])
    assert set(changes.values()) == {1}
    assert len(changes) == IMPORTS * ROWS + len(seeded)
    done = [key for key in bucket.list_keys() if "/done/" in key]
    assert len(done) == IMPORTS and not any(key.count("/") == 2 for key in bucket.list_keys() if key.startswith("in/"))
    # What stages need lay in the bucket alone.
    assert [path for path in (spread.dagster_home / "storage").rglob("*") if path.is_file()] == []
    kept_here = {path.name for path in (spread.root / "imports").iterdir()}
    assert not kept_here & {entry.import_id for entry in found} and not (two[1].folder / "imports").exists()
