"""What one import leaves for the web UI: metadata of each stage, column lineage, tags of its run, and no clear value (R41)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pytest

from engage_etl.reports.page_file import page_of
from engage_etl.settings import Settings
from engage_etl.store.engine import open_store
from engage_etl.store.imports import Import, update_import
from engage_etl.triggers.instance import open_instance
from engage_etl.triggers.jobs import IMPORT_CONTACTS, import_definitions
from engage_etl.triggers.resources import Progress
from engage_etl.triggers.run_import import list_runs, run_imports
from engage_etl_tests.conftest import own_store
from engage_etl_tests.importing import Importing
from engage_etl_tests.own_dagster import own_dagster

STAGES = ("raw_file", "validated_rows", "match_plan", "applied_updates")
SEED = "user.Email,user.Identifier,user.FirstName\nann.clear@example.com,1,Annabelle\nbob.clear@example.com,2,Bobby\n"
FILE = (
    "user.Identifier,user.Email,user.FirstName,user.CustomAttribute.Colour,member.Shop\n"
    "1,new.clear@example.org,Annabelle,crimson,Leipzig\n"
    "2,bob.clear@example.com,Bobby,,\n"
    "3,third.clear@example.com,Thirza,,\n"
    "4,no-address,Forza,,\n"
)
XML = (
    "<userdata><list><user><identifier>1</identifier><email>xml.clear@example.org</email></user>"
    "<user><identifier>2</identifier><firstname>Zacharias</firstname></user></list></userdata>"
)
BROKEN = "user.Identifier,user.Emial\n1,a@example.org\n"
SENTENCE = (
    "broken.csv: there is no attribute 'user.Emial' (column 2 of the header); expected a name like user.Email. "
    "Correct the header and import the file again. Did you mean 'user.Email'?"
)
PERSONAL = ("ann.clear", "bob.clear", "new.clear", "third.clear", "Annabelle", "Bobby", "Thirza", "Forza", "crimson")
COLUMNS = {
    "identifier": "user.Identifier",
    "email": "user.Email",
    "first_name": "user.FirstName",
    "custom.Colour": "user.CustomAttribute.Colour",
    "member.Shop": "member.Shop",
}

Metadata = Mapping[str, dg.MetadataValue[Any]]


@dataclass(frozen=True)
class Shown:
    """What Dagster knows of an import. metadata: by stage; checks: their metadata, by name; events: of its run, as text."""

    settings: Settings
    entry: Import
    metadata: dict[str, Metadata]
    checks: dict[str, dg.AssetCheckEvaluation]
    tags: Mapping[str, str]
    events: str
    failures: list[dg.DagsterEvent]

    def number(self, stage: str, name: str) -> float:
        value = self.metadata[stage][name].value
        assert isinstance(value, int | float), f"{stage}.{name} is plotted only as a number"
        return value

    def lineage(self, stage: str) -> dict[str, list[tuple[str, str]]]:
        """For each column the columns that it is made from, with their assets."""
        lineage = self.metadata[stage]["dagster/column_lineage"].value
        assert isinstance(lineage, dg.TableColumnLineage)
        return {
            column: [(dep.asset_key.to_user_string(), dep.column_name) for dep in deps]
            for column, deps in lineage.deps_by_column.items()
        }

    def columns(self, stage: str) -> list[str]:
        schema = self.metadata[stage]["dagster/column_schema"].value
        assert isinstance(schema, dg.TableSchema)
        return [column.name for column in schema.columns]

    def rows(self, stage: str, name: str) -> list[dict[str, Any]]:
        found = self.metadata[stage][name]
        assert isinstance(found, dg.TableMetadataValue)
        return [dict(record.data) for record in found.records]


def shown(settings: Settings, instance: dg.DagsterInstance, importing: Importing, import_id: str) -> Shown:
    """Look at an import whose run has ended."""
    [run] = list_runs(instance, import_id)
    logs = instance.all_logs(run.run_id)
    made = [log.asset_materialization for log in logs]
    checks = [log.asset_check_evaluation for log in logs]
    return Shown(
        settings,
        importing.entry(import_id),
        {one.asset_key.to_user_string(): one.metadata for one in made if one is not None},
        {check.check_name: check for check in checks if check is not None},
        run.tags,
        "\n".join(dg.serialize_value(log) for log in logs),
        [log.dagster_event for log in logs if log.dagster_event is not None and log.dagster_event.is_failure],
    )


@dataclass(frozen=True)
class Looked:
    """An import by hand; one of XML, started on the web page, without tags; and one of a file that is broken."""

    by_hand: Shown
    xml: Shown
    broken: Shown


@pytest.fixture(scope="module")
def looked(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Looked]:
    """Three imports through a real instance."""
    folder = tmp_path_factory.mktemp("looking")
    with own_store(server, folder / "data") as own, own_dagster(own) as settings, open_store(settings) as store:
        importing = Importing.prepare(store, folder / "files")
        importing.seed(SEED)
        ids = [importing.register(FILE, name="crm.csv"), importing.register(BROKEN, name="broken.csv")]
        run_imports(settings, [importing.entry(import_id) for import_id in ids], Progress())
        xml = importing.register(XML, name="crm.xml")
        with store.engine.begin() as connection:
            update_import(connection, xml, automation="crm")
        with open_instance(settings) as instance:
            instance.add_dynamic_partitions("import_id", [xml])
            job = import_definitions().resolve_job_def(IMPORT_CONTACTS)
            assert job.execute_in_process(instance=instance, partition_key=xml).success
            by_hand, broken, of_xml = (shown(settings, instance, importing, one) for one in (*ids, xml))
            yield Looked(by_hand, of_xml, broken)


@pytest.fixture(scope="module")
def imported(looked: Looked) -> Shown:
    """The import by hand."""
    return looked.by_hand


def test_every_stage_is_there_and_the_import_is_applied(imported: Shown) -> None:
    assert (imported.entry.status, tuple(imported.metadata)) == ("applied", STAGES)


def test_counts_and_shares_are_numbers_that_are_plotted(imported: Shown) -> None:
    counted = ("rows", "created", "updated", "unchanged", "skipped", "rejected", "rejected_share", "changed_share")
    for stage in ("match_plan", "applied_updates"):
        assert [imported.number(stage, name) for name in counted] == [4, 1, 1, 1, 0, 1, 0.25, 0.5]
    assert [imported.number("validated_rows", name) for name in ("rows", "valid", "rejected")] == [4, 3, 1]
    assert imported.number("validated_rows", "rejected_share") == 0.25
    assert imported.number("raw_file", "bytes") == len(FILE)


def test_every_stage_says_how_long_it_took_and_how_fast_it_was(imported: Shown) -> None:
    assert all(imported.number(stage, "duration_seconds") > 0 for stage in STAGES)
    assert all(imported.number(stage, "rows_per_second") > 0 for stage in STAGES[1:])
    ends = [imported.number("applied_updates", f"seconds_until_{end}") for end in ("validated", "planned", "applied")]
    assert ends == sorted(ends) and ends[0] > 0


def test_reasons_and_changed_fields_are_tables(imported: Shown) -> None:
    for stage in ("match_plan", "applied_updates"):
        assert imported.rows(stage, "reasons") == [{"reason": "address_invalid", "rows": "1"}]
        fields = {row["field"]: row["rows"] for row in imported.rows(stage, "changed_fields")}
        assert {"email": "2", "first_name": "1", "custom.Colour": "1", "member.Shop": "1"}.items() <= fields.items()


def test_samples_show_before_and_after_masked(imported: Shown) -> None:
    for stage in ("match_plan", "applied_updates"):
        first = imported.rows(stage, "sample")[0]
        assert first["row"] == "2" and "email: a…@….com → n…@….org" in first["changes"]
    assert imported.rows("validated_rows", "rejected_sample")[0]["row"] == "5"


def test_the_columns_of_an_xml_file_are_its_elements(looked: Looked) -> None:
    assert looked.xml.lineage("validated_rows") == {
        "identifier": [("raw_file", "identifier")],
        "email": [("raw_file", "email")],
        "first_name": [("raw_file", "firstname")],
    }
    assert looked.xml.columns("raw_file") == ["identifier", "email", "firstname"]


def test_a_run_that_was_started_without_tags_has_them_when_it_has_begun(looked: Looked) -> None:
    tags = {name: looked.xml.tags.get(name) for name in ("file", "group", "automation")}
    assert tags == {"file": "crm.xml", "group": "Newsletter", "automation": "crm"}


def test_the_failure_of_the_run_is_our_sentence_and_no_stack(looked: Looked) -> None:
    step, run = looked.broken.failures
    assert (run.event_type, run.message) == (dg.DagsterEventType.RUN_FAILURE, SENTENCE)
    assert run.job_failure_data.error is None
    error = step.step_failure_data.error
    assert error is not None and (error.message, error.stack) == (SENTENCE, [])
    assert "stage_assets.py" not in looked.broken.events


def test_a_failure_leads_to_the_report(looked: Looked) -> None:
    data = looked.broken.failures[0].step_failure_data.user_failure_data
    assert data is not None
    assert data.metadata["report_page"].value == f"/reports/{looked.broken.entry.import_id}"
    assert "dagster/column_schema" not in looked.broken.metadata["raw_file"], "its header cannot be read"


def test_r41_no_clear_value_is_in_the_event_log(looked: Looked) -> None:
    events = looked.by_hand.events + looked.xml.events
    assert [value for value in (*PERSONAL, "xml.clear", "Zacharias") if value in events] == []


def test_columns_lead_from_the_header_of_the_file_to_the_contact(imported: Shown) -> None:
    assert imported.columns("raw_file") == list(COLUMNS.values())
    assert imported.lineage("validated_rows") == {field: [("raw_file", cell)] for field, cell in COLUMNS.items()}
    planned = {field: [("validated_rows", field)] for field in COLUMNS}
    assert imported.lineage("match_plan") == planned | {"contact_id": [("validated_rows", "identifier")]}
    assert imported.lineage("applied_updates") == {field: [("match_plan", field)] for field in ("contact_id", *COLUMNS)}


def test_the_way_of_each_column_is_a_table_too_since_the_web_ui_draws_none(imported: Shown) -> None:
    table = {row["file"]: row for row in imported.rows("applied_updates", "columns_of_the_file")}
    assert list(table) == list(COLUMNS.values())
    assert table["user.Email"] == {
        "file": "user.Email",
        "checked_as": "email",
        "stored_in": "engage.contact.email",
        "rows_that_change_it": "2",
    }
    assert table["user.CustomAttribute.Colour"]["stored_in"] == "engage.contact.custom"
    assert table["member.Shop"]["stored_in"] == "engage.membership.attributes"


def test_every_column_of_the_lineage_is_in_the_schema_of_its_asset(imported: Shown) -> None:
    for stage in STAGES[1:]:
        lineage = imported.lineage(stage)
        assert lineage.keys() <= set(imported.columns(stage))
        for asset, column in (dep for deps in lineage.values() for dep in deps):
            assert column in imported.columns(asset)


def test_paths_and_the_report_can_be_opened(imported: Shown) -> None:
    paths = [imported.metadata[stage][name].value for stage, name in (
        ("raw_file", "path"), ("validated_rows", "valid_file"), ("validated_rows", "rejected_file"), ("applied_updates", "report"),
    )]  # fmt: skip
    assert all(str(path).startswith(str(imported.settings.root)) for path in paths)
    assert imported.metadata["applied_updates"]["report_page"].value == f"/reports/{imported.entry.import_id}"
    assert page_of(imported.settings, imported.entry.import_id) is not None


def test_the_run_can_be_filtered_by_file_and_group(imported: Shown) -> None:
    tags = {name: imported.tags.get(name) for name in ("file", "group", "automation")}
    assert tags == {"file": "crm.csv", "group": "Newsletter", "automation": None}


def test_checks_have_numbers_and_say_what_they_found(imported: Shown) -> None:
    checks = imported.checks
    assert {name: check.passed for name, check in checks.items()} == dict.fromkeys(
        ("rows_accounted_for", "max_rejected", "max_changed", "unmatched_share", "file_like_the_last_one"), True
    )
    assert (checks["max_rejected"].metadata["share"].value, checks["max_changed"].metadata["share"].value) == (
        0.25,
        0.5,
    )
    assert checks["unmatched_share"].metadata["share"].value == pytest.approx(1 / 3)
    assert "and there is none" in str(checks["unmatched_share"].description)
