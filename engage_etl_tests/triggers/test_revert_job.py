"""The job ``revert_import`` as the web page starts it: counts in its metadata, no personal data, sentences when it fails."""

from __future__ import annotations

import dagster as dg
import pytest
from sqlalchemy import update

from engage_etl.settings import Settings
from engage_etl.store.engine import open_store
from engage_etl.store.tables import contact
from engage_etl.triggers.partitions import IMPORTS
from engage_etl.triggers.resources import StoreResource
from engage_etl.triggers.revert_job import REVERT_IMPORT, REVERTS, revert_import
from engage_etl_tests.importing import Importing

APPLIED_UPDATES = dg.AssetKey("applied_updates")
CHANGES = "user.Identifier,user.Email,user.FirstName\n1,new@x.org,Anna\n"


def run(instance: dg.DagsterInstance, import_id: str) -> dg.ExecuteInProcessResult:
    config = {"ops": {"take_back": {"config": {"import_id": import_id, "by": "Ann"}}}}
    return revert_import.execute_in_process(
        instance=instance, run_config=config, resources={"store": StoreResource()}, raise_on_error=False
    )


@pytest.fixture
def changed(importing: Importing) -> str:
    """The id of an import that changed two fields, one of which somebody else changed since."""
    importing.seed("user.Email,user.Identifier,user.FirstName\nann@x.org,1,Ann\n")
    entry = importing(CHANGES)
    with importing.store.engine.begin() as foreign:
        foreign.execute(update(contact).where(contact.c.identifier == "1").values(first_name="Annika"))
    return entry.import_id


def test_counts_are_metadata_of_the_run_and_of_the_import(
    importing: Importing, changed: str, instance: dg.DagsterInstance
) -> None:
    instance.add_dynamic_partitions(str(IMPORTS.name), [changed])
    result = run(instance, changed)
    assert result.success
    [found] = instance.get_runs(filters=dg.RunsFilter(job_name=REVERT_IMPORT, tags={REVERTS: changed}))
    assert found.run_id == result.run_id
    assert (found.tags["file"], found.tags["group"]) == ("contacts.csv", "Newsletter")
    event = instance.get_latest_materialization_event(APPLIED_UPDATES)
    assert event is not None and event.asset_materialization is not None
    assert event.asset_materialization.partition == changed
    metadata = event.asset_materialization.metadata
    assert [metadata[name].value for name in ("restored", "kept", "failed", "by")] == [1, 1, 0, "Ann"]
    told = str(metadata)
    assert "first_name was changed since" in told
    assert not any(value in told for value in ("new@x.org", "ann@x.org", "Annika"))
    assert importing.column("email", "first_name") == [("ann@x.org", "Annika")]


def test_an_import_without_a_partition_is_reverted_too(changed: str, instance: dg.DagsterInstance) -> None:
    assert run(instance, changed).success
    assert instance.get_latest_materialization_event(APPLIED_UPDATES) is None


def test_a_revert_that_is_refused_fails_with_the_sentence(
    dagster_settings: Settings, instance: dg.DagsterInstance
) -> None:
    with open_store(dagster_settings):
        result = run(instance, "nope")
    assert not result.success
    [failure] = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    assert "There is no import 'nope'" in str(failure.user_failure_data.description)
