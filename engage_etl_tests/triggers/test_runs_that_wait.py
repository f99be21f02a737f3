"""R34, R35 as Dagster runs: waiting is no failure, a brake is one with our sentence, and only an approval applies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import dagster as dg
import pytest
from ruamel.yaml import YAML

from engage_etl.applied_updates.stage import approve_plan
from engage_etl.match_plan.asset import match_plan
from engage_etl.store.approvals import find_approval
from engage_etl.store.imports import Import, is_alive
from engage_etl.triggers import stage_assets
from engage_etl.triggers.approving import APPLY_PLAN, approving, launchpad_address
from engage_etl.triggers.jobs import IMPORT_CONTACTS, PLAN_IMPORT, import_definitions
from engage_etl.triggers.resources import Progress, StoreResource
from engage_etl_tests.importing import Importing, as_csv

CONTENT = as_csv(("user.Identifier", "user.Email"), ("1", "new@x.org"), ("2", "b@x.org"))
ALL = ["raw_file", "validated_rows", "match_plan", "applied_updates"]
PLANNED = match_plan.key
APPLIED = dg.AssetKey("applied_updates")


class Runs:
    """Runs of jobs on one instance, in this process."""

    def __init__(self, importing: Importing, instance: dg.DagsterInstance) -> None:
        self.importing, self.instance = importing, instance
        importing.seed("user.Email,user.Identifier\nold@x.org,1\n")

    def of(self, content: str = CONTENT, **options: Any) -> Import:
        """Register an import."""
        entry = self.importing.entry(self.importing.register(content, **options))
        self.instance.add_dynamic_partitions("import_id", [entry.import_id])
        return entry

    def run(
        self,
        entry: Import,
        job: str = IMPORT_CONTACTS,
        config: Mapping[str, Any] | None = None,
        selection: list[dg.AssetKey] | None = None,
    ) -> dg.ExecuteInProcessResult:
        return (
            import_definitions()
            .resolve_job_def(job)
            .execute_in_process(
                instance=self.instance,
                partition_key=entry.import_id,
                run_config=config,
                asset_selection=selection,
                raise_on_error=False,
            )
        )

    def refresh(self, entry: Import) -> Import:
        return self.importing.entry(entry.import_id)


@pytest.fixture
def runs(importing: Importing, instance: dg.DagsterInstance) -> Runs:
    return Runs(importing, instance)


def materialized(result: dg.ExecuteInProcessResult) -> list[str]:
    return [event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key]


def sentence(result: dg.ExecuteInProcessResult) -> str:
    """What the failed run says."""
    [failure] = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    return failure.user_failure_data.description or ""


def test_r35_a_run_that_ends_with_a_plan_that_waits_is_green(runs: Runs) -> None:
    entry = runs.of(approval="required")
    result = runs.run(entry)
    assert (result.success, materialized(result)) == (True, ALL[:3])
    assert runs.refresh(entry).status == "waiting_for_approval"
    assert runs.importing.column("email") == [("old@x.org",)]
    told = [log.user_message for log in runs.instance.all_logs(result.run_id) if log.level == 30]
    assert told == [
        "contacts.csv: the plan waits for approval. Look at its report, then open the link approve and give your name."
    ]


def approval_link(result: dg.ExecuteInProcessResult) -> object:
    """Where the metadata of the plan says that it is approved."""
    [planned] = [event for event in result.get_asset_materialization_events() if event.asset_key == PLANNED]
    found = planned.materialization.metadata.get("approve")
    return found and found.value


@pytest.mark.parametrize("options", [{"approval": "required"}, {"max_changed": "1"}])
def test_a_plan_that_waits_has_a_link_that_opens_the_job_for_that_plan(runs: Runs, options: dict[str, str]) -> None:
    entry = runs.of(**options)
    result = runs.run(entry)
    plan_hash = runs.refresh(entry).plan_hash or ""
    assert approval_link(result) == f"/approve/{entry.import_id}/{plan_hash}"
    opened = urlsplit(launchpad_address(entry.import_id, plan_hash) or "")
    given = dict(parse_qsl(opened.query))
    assert YAML(typ="safe").load(given["config"]) == approving("", plan_hash)
    assert (given["tags[0][key]"], given["tags[0][value]"]) == ("dagster/partition", entry.import_id)
    assert APPLY_PLAN in opened.path.split("/")


def test_a_plan_that_nobody_has_to_approve_has_no_such_link(runs: Runs) -> None:
    assert approval_link(runs.run(runs.of())) is None
    assert approval_link(runs.run(runs.of(approval="required", dry_run=True))) is None
    assert launchpad_address("an.import", "'\n") is None


@pytest.mark.parametrize("options", [{"approval": "required"}, {"max_changed": "1"}])
def test_to_materialize_applied_updates_approves_nothing(runs: Runs, options: dict[str, str]) -> None:
    entry = runs.of(**options)
    runs.run(entry)
    result = runs.run(entry, selection=[APPLIED])
    assert (result.success, materialized(result)) == (False, [])
    assert f"engage-etl imports approve {entry.import_id}" in sentence(result)
    assert runs.refresh(entry).status.waits
    assert runs.importing.column("email") == [("old@x.org",)]


@pytest.mark.parametrize("options", [{"approval": "required"}, {"max_changed": "1"}])
def test_r35_the_job_apply_plan_approves_and_applies(runs: Runs, options: dict[str, str]) -> None:
    entry = runs.of(**options)
    runs.run(entry)
    planned = runs.refresh(entry)
    result = runs.run(entry, APPLY_PLAN, approving("Ann", planned.plan_hash or ""))
    assert (result.success, materialized(result)) == (True, ["applied_updates"])
    [applied] = result.get_asset_materialization_events()
    assert applied.materialization.metadata["approved_by"].value == "Ann"
    assert runs.refresh(entry).status == "applied"
    assert runs.importing.column("email") == [("new@x.org",), ("b@x.org",)]
    # Applied once, it changes nothing again, and says so in green.
    assert runs.run(entry, APPLY_PLAN, approving("Ann", planned.plan_hash or "")).success
    assert runs.run(entry).success


@pytest.mark.parametrize(
    ("by", "plan_hash", "expected"),
    [
        ("", "", "has to be named"),
        ("Ann", "", "and not blank"),
        ("Ann", "0123", "and not 0123"),
        (None, None, "has to be"),
    ],
)
def test_r35_apply_plan_needs_a_name_and_the_plan_that_was_looked_at(
    runs: Runs, by: str | None, plan_hash: str | None, expected: str
) -> None:
    """None: as the launchpad shows it, before anything is filled in."""
    entry = runs.of(approval="required")
    runs.run(entry)
    config = approving(by, plan_hash) if by is not None and plan_hash is not None else None
    result = runs.run(entry, APPLY_PLAN, config)
    assert not result.success and expected in sentence(result)
    assert runs.refresh(entry).status == "waiting_for_approval"


def test_r35_a_second_person_is_asked_for_in_the_web_page_too(runs: Runs) -> None:
    entry = runs.of(approval="second-person", started_by="ann")
    runs.run(entry)
    plan_hash = runs.refresh(entry).plan_hash or ""
    refused = runs.run(entry, APPLY_PLAN, approving("Ann", plan_hash))
    assert not refused.success and "by a second person" in sentence(refused)
    assert runs.run(entry, APPLY_PLAN, approving("Bob", plan_hash)).success


def test_r34_a_brake_is_a_blocking_check_and_the_run_fails_with_our_sentence(runs: Runs) -> None:
    entry = runs.of(max_changed="1")
    result = runs.run(entry)
    stopped = runs.refresh(entry)
    assert (result.success, materialized(result)) == (False, ALL[:3])
    assert sentence(result) == stopped.error_message
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert {name: check.passed for name, check in checks.items()} == {
        "file_like_the_last_one": True, "rows_accounted_for": True, "max_rejected": True, "max_changed": False,
        "unmatched_share": True,
    }  # fmt: skip
    failed = checks["max_changed"]
    assert (failed.severity, failed.blocking) == (dg.AssetCheckSeverity.ERROR, True)
    assert failed.description == ("contacts.csv: 2 of 2 rows (100.0%) create or update, more than 1 (max-changed).")
    figures = {name: value.value for name, value in failed.metadata.items()}
    assert figures == {"counted": 2, "rows": 2, "share": 1.0, "limit": "1 (max-changed)", "left_group": 0}
    assert stopped.status == "stopped"


def test_an_approved_plan_of_a_stopped_import_is_applied_by_a_run_of_all_stages(runs: Runs) -> None:
    """As after a process that was killed between the approval and the apply."""
    entry = runs.of(max_changed="1")
    runs.run(entry)
    approve_plan(runs.importing.store, entry.import_id, by="Ann")
    result = runs.run(entry)
    assert (result.success, materialized(result)) == (True, ALL)
    checks = {check.check_name: check.severity for check in result.get_asset_check_evaluations() if not check.passed}
    assert checks == {"max_changed": dg.AssetCheckSeverity.WARN}
    assert runs.refresh(entry).status == "applied"


def test_r31_a_drifted_plan_fails_the_run_with_its_rows_and_is_planned_again(runs: Runs) -> None:
    entry = runs.of(approval="required")
    runs.run(entry)
    first = runs.refresh(entry).plan_hash or ""
    runs.importing(as_csv(("user.Identifier", "user.Email"), ("1", "between@x.org")), name="between.csv")
    refused = runs.run(entry, APPLY_PLAN, approving("Ann", first))
    assert not refused.success and "1 of its rows would come out otherwise now: row 2" in sentence(refused)
    with runs.importing.store.engine.connect() as connection:
        assert find_approval(connection, entry.import_id) is None
    again = runs.run(entry, PLAN_IMPORT)
    assert (again.success, materialized(again)) == (True, ALL[:3])
    second = runs.refresh(entry).plan_hash or ""
    assert second != first
    assert runs.run(entry, APPLY_PLAN, approving("Ann", second)).success
    assert runs.importing.column("email") == [("new@x.org",), ("b@x.org",)]


def test_r35_a_dry_run_is_green_and_never_applied(runs: Runs) -> None:
    entry = runs.of(dry_run=True, max_changed="1")
    result = runs.run(entry)
    assert (result.success, materialized(result)) == (True, ALL[:3])
    ended = runs.refresh(entry)
    assert (ended.status, ended.has_ended, ended.report) == ("planned", True, f"reports/{entry.import_id}")
    assert ended.warnings == [
        "contacts.csv: 2 of 2 rows (100.0%) create or update, more than 1 (max-changed). Without dry-run the import would "
        "be stopped here."
    ]
    for job, config in ((APPLY_PLAN, approving("Ann", ended.plan_hash or "")), (IMPORT_CONTACTS, None)):
        selection = None if job == APPLY_PLAN else [APPLIED]
        refused = runs.run(entry, job, config, selection)
        assert not refused.success and "is a dry run, which is never applied" in sentence(refused)
    assert runs.importing.column("email") == [("old@x.org",)]


def test_a_stage_is_over_when_its_result_is_given_back(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is interrupted then leaves the generator of its asset open, and must not keep the import's lock."""
    monkeypatch.setattr(stage_assets, "_tag_run", lambda *_: None)  # the asset is called as a function, without a run
    entry = runs.of()
    runs.run(entry, PLAN_IMPORT)
    context = dg.build_asset_context(partition_key=entry.import_id)
    results = match_plan(context, store=StoreResource(), progress=Progress())
    assert isinstance(next(results), dg.MaterializeResult)
    with runs.importing.store.engine.connect() as connection:
        assert not is_alive(connection, entry.import_id)
    results.close()
