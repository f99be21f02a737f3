"""Lost connections are waited for with growing pauses, and the stage is tried again; what is wrong with a file never is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from engage_etl.applied_updates import stage as applied_updates
from engage_etl.cli.import_runs import import_by_hand
from engage_etl.match_plan import stage as match_plan
from engage_etl.raw_file import stage as raw_file
from engage_etl.settings import Settings
from engage_etl.store import reconnecting
from engage_etl.store.embedded import EmbeddedServer
from engage_etl.store.imports import Import
from engage_etl.triggers import stage_assets
from engage_etl.triggers.resources import Progress
from engage_etl.triggers.run_import import list_runs, run_imports
from engage_etl.validated_rows import stage as validated_rows
from engage_etl.vocabulary.options import ImportOptions
from engage_etl_tests.conftest import stoppable_server, with_template
from engage_etl_tests.importing import Importing

CONTENT = "user.Identifier,user.Email\n1,a@x.org\n2,b@x.org\n"
WITHIN = {
    "raw_file": (raw_file, "record_file"),
    "validated_rows": (validated_rows, "validate_rows"),
    "match_plan": (match_plan, "record_plan"),
    "applied_updates": (applied_updates, "write_updates"),
}
"""By stage, a function during which the server goes away."""


class Outage:
    """A server that goes away once, and that somebody starts again while it is waited for."""

    def __init__(self, embedded: EmbeddedServer, comes_back_after: int = 3) -> None:
        self.embedded, self.comes_back_after = embedded, comes_back_after
        self.pauses: list[float] = []
        self.is_over = False

    def strike(self) -> None:
        if not self.is_over:
            self.is_over = True
            cluster = self.embedded.ensure_running()
            assert cluster.run("pg_ctl", "stop", "-D", cluster.folder, "-m", "immediate", "-w").returncode == 0

    def within(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with an outage at its beginning."""

        def interrupted(*given: Any, **named: Any) -> Any:
            self.strike()
            return function(*given, **named)

        return interrupted

    def sleep(self, seconds: float) -> None:
        """Instead of waiting."""
        self.pauses.append(seconds)
        if len(self.pauses) == self.comes_back_after:
            self.embedded.ensure_running()


@pytest.fixture(scope="module")
def embedded() -> Iterator[EmbeddedServer]:
    with stoppable_server("lost") as started:
        yield started


@pytest.fixture(scope="module")
def server(embedded: EmbeddedServer) -> str:
    return with_template(embedded)


@pytest.fixture
def outage(embedded: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outage]:
    outage = Outage(embedded)
    monkeypatch.setattr(reconnecting, "time", Waits(outage))
    yield outage
    embedded.ensure_running()


class Waits:
    """The clock of those who wait."""

    def __init__(self, outage: Outage) -> None:
        self.sleep = outage.sleep

    def monotonic(self) -> float:
        return 0.0


def run(importing: Importing, settings: Settings, content: str = CONTENT) -> Import:
    entry = importing.entry(importing.register(content))
    run_imports(settings, [entry], Progress())
    return importing.entry(entry.import_id)


def retries(instance: dg.DagsterInstance, entry: Import) -> list[str]:
    """The stages that were tried again, in all runs of an import."""
    # This instance has noticed nothing of the outage: what it keeps of connections is dead.
    instance.run_storage.dispose()
    instance.event_log_storage.dispose()
    logs = [log for one in list_runs(instance, entry.import_id) for log in instance.all_logs(one.run_id)]
    events = [log.dagster_event for log in logs if log.dagster_event is not None]
    return [str(event.step_key) for event in events if event.is_step_up_for_retry]


@pytest.mark.parametrize("stage", WITHIN)
def test_a_server_that_goes_away_within_a_stage_and_comes_back(
    importing: Importing, dagster_settings: Settings, instance: dg.DagsterInstance, outage: Outage, stage: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    where, function = WITHIN[stage]
    monkeypatch.setattr(where, function, outage.within(getattr(where, function)))
    entry = run(importing, dagster_settings)
    assert (entry.status, entry.created) == ("applied", 2)
    assert outage.pauses == [1.0, 2.0, 4.0]
    assert retries(instance, entry) == [stage]
    [one] = list_runs(instance, entry.import_id)
    assert one.status is dg.DagsterRunStatus.SUCCESS
    assert [len(contact["history"]) for contact in importing.contacts(history=True)] == [1, 1]
    assert (dagster_settings.report_dir(entry.import_id) / "summary.json").is_file()


def test_a_server_that_goes_away_between_stages(
    importing: Importing, dagster_settings: Settings, instance: dg.DagsterInstance, outage: Outage,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    """Dagster cannot record the stage that has just ended; the command runs the import again."""
    monkeypatch.setattr(stage_assets.StageRun, "duration", outage.within(stage_assets.StageRun.duration))
    file = tmp_path / "contacts.csv"
    file.write_text(CONTENT)
    store = importing.store.__class__(importing.store.engine, dagster_settings)
    [entry] = import_by_hand(store, [file], ImportOptions(group="Newsletter", use_external_identifier=True))
    assert (entry.status, entry.created) == ("applied", 2)
    assert outage.pauses[:3] == [1.0, 2.0, 4.0]
    assert sorted(one.status.value for one in list_runs(instance, entry.import_id)) == ["FAILURE", "SUCCESS"]


def test_a_server_that_stays_away_ends_the_import_after_the_last_pause(
    importing: Importing, dagster_settings: Settings, outage: Outage, embedded: EmbeddedServer,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    outage.comes_back_after = 0
    monkeypatch.setattr(match_plan, "record_plan", outage.within(match_plan.record_plan))
    file = tmp_path / "contacts.csv"
    file.write_text(CONTENT)
    store = importing.store.__class__(importing.store.engine, dagster_settings)
    with pytest.raises(Exception, match=r"PostgreSQL server gave up|does not answer"):
        import_by_hand(store, [file], ImportOptions(group="Newsletter", use_external_identifier=True))
    assert outage.pauses[:6] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    embedded.ensure_running()
    assert importing.contacts() == []


@pytest.mark.parametrize(
    ("content", "last"),
    [("user.Identifier,user.Emial\n1,a@x.org\n", "validated_rows"), ("", "raw_file")],
)
def test_what_is_wrong_with_a_file_is_tried_once(
    importing: Importing,
    dagster_settings: Settings,
    instance: dg.DagsterInstance,
    outage: Outage,
    content: str,
    last: str,
) -> None:
    entry = run(importing, dagster_settings, content)
    assert entry.status == "failed"
    assert (outage.pauses, retries(instance, entry)) == ([], [])
    [one] = list_runs(instance, entry.import_id)
    events = [log.dagster_event for log in instance.all_logs(one.run_id)]
    assert [event.step_key for event in events if event is not None and event.is_step_failure] == [last]


def test_an_error_of_the_program_is_tried_once(
    importing: Importing, dagster_settings: Settings, instance: dg.DagsterInstance, outage: Outage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(match_plan, "record_plan", full)
    entry = run(importing, dagster_settings)
    assert (entry.status, outage.pauses, retries(instance, entry)) == ("validated", [], [])


def test_a_network_connection_that_is_lost_is_tried_again(
    importing: Importing, dagster_settings: Settings, instance: dg.DagsterInstance, outage: Outage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    archive, lost = (
        raw_file.archive_raw_file,
        iter([ConnectionResetError(104, "Connection reset by peer"), TimeoutError()]),
    )

    def sometimes(*given: Any) -> Any:
        if (error := next(lost, None)) is not None:
            raise error
        return archive(*given)

    monkeypatch.setattr(raw_file, "archive_raw_file", sometimes)
    entry = run(importing, dagster_settings)
    assert (entry.status, outage.pauses) == ("applied", [1.0, 2.0])
    assert retries(instance, entry) == ["raw_file", "raw_file"]
