"""The marts hold what hand-written rows say, after a build by dbt alone and one by Dagster."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from engage_etl.marts.asset import NO_DUPLICATES
from engage_etl.marts.project import parse_project
from engage_etl.marts.store_checks import duplicate_identifiers
from engage_etl.store.engine import open_store
from engage_etl.store.readers import BUILDER, READER
from engage_etl.vocabulary.attributes import ATTRIBUTES
from engage_etl.vocabulary.outcomes import Reason, Status
from engage_etl_tests.conftest import own_store
from engage_etl_tests.importing import GROUP, Importing
from engage_etl_tests.marts.building import DAYS_AGO, ORDERS, Built, build_twice

AUDIT_PAGE = Path(__file__).parents[2] / "docs" / "audit.md"


@pytest.fixture(scope="module")
def built(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("marts")
    with own_store(server, folder / "data") as settings, open_store(settings) as store:
        yield build_twice(Importing.prepare(store, folder / "files"), folder)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What dbt's manifest says about models and tests."""
    folder = tmp_path_factory.mktemp("parsed")
    parse_project(folder, folder / "made.json")
    manifest: dict[str, Any] = json.loads((folder / "made.json").read_text())
    return manifest["nodes"]


def columns(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


def test_imports_have_all_counts(built: Built) -> None:
    names = (
        "file",
        "automation",
        "import_mode",
        "status",
        "rows",
        "created",
        "updated",
        "unchanged",
        "skipped",
        "rejected",
    )
    assert columns(built.second["imports"], *names) == [
        ("late.csv", "manual", "add-and-update", "applied", 1, 0, 1, 0, 0, 0),
        ("seed.csv", "manual", "add-and-update", "applied", 5, 5, 0, 0, 0, 0),
        ("update.csv", "manual", "add-and-update", "applied", 5, 0, 1, 1, 1, 2),
        ("twins.csv", "manual", "add-and-update", "applied", 1, 0, 1, 0, 0, 0),
        ("removed.csv", "manual", "remove", "applied", 1, 0, 1, 0, 0, 0),
        ("miscounted.csv", "manual", "add-and-update", "planned", 4, 1, 0, 0, 0, 0),
    ]
    [update] = [row for row in built.second["imports"] if row["file"] == "update.csv"]
    assert (update["share_rejected"], update["share_changed"]) == (Decimal("0.4"), Decimal("0.2"))
    assert update["seconds_in_all"] > 0


def test_rows_by_reason(built: Built) -> None:
    update = built.imports["update.csv"]
    assert columns(built.second["import_rows_by_reason"], "import_id", "outcome", "reason", "rows", "share") == [
        (update, "rejected", "address_invalid", 1, Decimal("0.2")),
        (update, "rejected", "identifier_missing", 1, Decimal("0.2")),
        (update, "skipped", "no_standard_identifier", 1, Decimal("0.2")),
    ]


CHANGES = [
    ("seed.csv", "a", 2, 1, "created", "custom.Colour", None, "red"),
    ("seed.csv", "a", 2, 1, "created", "email", None, "ann@example.com"),
    ("seed.csv", "a", 2, 1, "created", "first_name", None, "Ann"),
    ("seed.csv", "a", 2, 1, "created", "groups", None, GROUP),
    ("seed.csv", "a", 2, 1, "created", "identifier", None, "12345"),
    ("seed.csv", "b", 3, 1, "created", "email", None, "bob@example.com"),
    ("seed.csv", "b", 3, 1, "created", "first_name", None, "Bob"),
    ("seed.csv", "b", 3, 1, "created", "groups", None, GROUP),
    ("seed.csv", "b", 3, 1, "created", "identifier", None, "2"),
    ("seed.csv", "c", 4, 1, "created", "email", None, "cid@example.com"),
    ("seed.csv", "c", 4, 1, "created", "groups", None, GROUP),
    ("seed.csv", "c", 4, 1, "created", "identifier", None, "3"),
    ("seed.csv", "d", 5, 1, "created", "custom.Colour", None, "blue"),
    ("seed.csv", "d", 5, 1, "created", "email", None, "dora@example.com"),
    ("seed.csv", "d", 5, 1, "created", "first_name", None, "Dora"),
    ("seed.csv", "d", 5, 1, "created", "groups", None, GROUP),
    ("seed.csv", "d", 5, 1, "created", "identifier", None, "4"),
    ("seed.csv", "e", 6, 1, "created", "email", None, "eve@example.com"),
    ("seed.csv", "e", 6, 1, "created", "groups", None, GROUP),
    ("update.csv", "a", 2, 2, "updated", "email", "ann@example.com", "ann@example.org"),
]
LATE = [
    ("late.csv", "c", 2, 2, "updated", "first_name", None, "Cid"),
    ("late.csv", "c", 2, 2, "updated", "groups", None, GROUP),
]
LATER = [
    ("twins.csv", "e", 2, 2, "updated", "identifier", None, "2"),
    ("removed.csv", "a", 2, 3, "updated", "groups", GROUP, None),
]


def changes(built: Built, rows: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    """Changes as the lists above write them; each of them once."""
    files = {import_id: file for file, import_id in built.imports.items()} | {"late": "late.csv"}
    letters = {contact_id: letter for letter, contact_id in built.ids.items()}
    names = ("row", "version", "outcome", "field", "before", "after")
    found = [
        (files[row["import_id"]], letters[row["contact_id"]], *(row[name] for name in names)) for row in rows
    ]  # fmt: skip
    assert len(set(found)) == len(found)
    return set(found)


def test_one_row_a_changed_field(built: Built) -> None:
    assert changes(built, built.first["contact_changes"]) == set(CHANGES)


def test_rows_that_became_visible_late_are_taken_all_the_same(built: Built) -> None:
    """Their transaction began forty days before and ended after the build that took others with later times."""
    found = changes(built, built.second["contact_changes"])
    assert found >= set(LATE)
    assert found == {row for row in CHANGES if row[1] != "d"} | set(LATE) | set(LATER)


def test_who_is_forgotten_is_in_no_mart(built: Built) -> None:
    assert "dora@example.com" in str(built.first)
    assert [name for name in ORDERS if "dora" in str(built.second[name]).lower()] == []
    assert all(row["contact_id"] != built.ids["d"] for row in built.second["contact_current"])


def test_contacts_as_they_are_now(built: Built) -> None:
    names = ("email", "identifier", "first_name", "custom", "groups", "version")
    assert columns(built.first["contact_current"], *names) == [
        ("ann@example.org", "12345", "Ann", {"colour": "red"}, [GROUP], 2),
        ("bob@example.com", "2", "Bob", {}, [GROUP], 1),
        ("cid@example.com", "3", None, {}, [GROUP], 1),
        ("dora@example.com", "4", "Dora", {"colour": "blue"}, [GROUP], 1),
        ("eve@example.com", None, None, {}, [GROUP], 1),
    ]
    assert columns(built.second["contact_current"], *names) == [
        ("ann@example.org", "12345", "Ann", {"colour": "red"}, [], 3),
        ("bob@example.com", "2", "Bob", {}, [GROUP, "VIP"], 1),
        ("cid@example.com", "3", None, {}, [GROUP], 1),
        ("eve@example.com", "2", None, {}, [GROUP], 2),
    ]


def test_contacts_have_every_attribute_of_the_catalogue(built: Built) -> None:
    assert {attribute.field for attribute in ATTRIBUTES} <= built.second["contact_current"][0].keys()
    rated = {row["attribute"] for row in built.second["attribute_fill_rates"] if row["scope"] == "standard"}
    assert rated == {attribute.field for attribute in ATTRIBUTES}


def test_identifiers_that_several_contacts_hold(built: Built) -> None:
    assert built.first["duplicate_identifiers"] == []
    held = [built.ids["b"], built.ids["e"]]
    assert columns(
        built.second["duplicate_identifiers"], "identifier", "contacts", "contact_ids", "since_import_id"
    ) == [("2", 2, held, built.imports["twins.csv"])]
    assert built.second["duplicate_identifiers"][0]["since"] is not None


def test_fill_rates(built: Built) -> None:
    rows = {row["attribute"]: row for row in built.second["attribute_fill_rates"]}
    names = ("scope", "holders", "filled", "share_filled")
    assert columns([rows[name] for name in ("email", "first_name", "title", "custom.Colour")], *names) == [
        ("standard", 4, 4, 1),
        ("standard", 4, 2, Decimal("0.5")),
        ("standard", 4, 0, 0),
        ("custom", 4, 1, Decimal("0.25")),
    ]


def test_growth_of_groups(built: Built) -> None:
    days = [row["day"] for row in built.second["group_growth"]]
    assert (days[-1] - days[0]).days == DAYS_AGO
    assert columns(built.second["group_growth"], "group_name", "joined", "left_group", "members") == [
        (GROUP, 1, 0, 0),
        (GROUP, 4, 1, 3),
    ]


def test_r38_is_checked_and_every_model_is_an_asset(built: Built, nodes: dict[str, Any]) -> None:
    assert built.failed_checks == {"outcome_counts_add_up", NO_DUPLICATES}
    models = {node["name"] for node in nodes.values() if node["resource_type"] == "model"}
    assert built.materialized == models >= ORDERS.keys()


def test_r8_the_check_counts_the_identifiers_that_several_contacts_hold_and_names_the_import(built: Built) -> None:
    with built.store.engine.connect() as connection:
        found = duplicate_identifiers(connection, 5)
    assert (found.is_good, found.numbers) == (False, {"identifiers": 1, "contacts": 2})
    [example] = found.examples
    contacts = sorted([built.ids["b"], built.ids["e"]])
    assert example["contacts"] == ", ".join(str(contact_id) for contact_id in contacts)
    assert (example["identifier"], example["since_import"]) == ("…", built.imports["twins.csv"])
    with built.store.engine.connect() as connection:
        assert duplicate_identifiers(connection, 0).examples == []


def test_every_model_and_every_column_is_described(built: Built, nodes: dict[str, Any]) -> None:
    models = {node["name"]: node for node in nodes.values() if node["resource_type"] == "model"}
    query = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema IN ('marts', 'marts_staging')"
    with built.store.engine.connect() as connection:
        found = list(connection.execute(text(query)))
        explained = connection.scalar(text("SELECT obj_description('marts.contact_current'::regclass)"))
    described = {
        (name, column) for name, node in models.items() for column, one in node["columns"].items() if one["description"]
    }
    assert {tuple(one) for one in found} == described
    assert [name for name, node in models.items() if not node["description"]] == []
    assert "Personal data in clear text" in explained


@pytest.mark.parametrize(
    ("test", "values"),
    [("imports_status_is_known", Status), ("import_rows_by_reason_reason_is_known", Reason)],
)
def test_accepted_values_are_the_words_of_the_program(nodes: dict[str, Any], test: str, values: Any) -> None:
    [node] = [node for node in nodes.values() if node["name"] == test]
    assert set(node["test_metadata"]["kwargs"]["values"]) == {value.value for value in values}


def test_reasons_for_skipping_are_those_of_the_program(nodes: dict[str, Any]) -> None:
    [model] = [node for node in nodes.values() if node["name"] == "import_rows_by_reason"]
    macro = Path(__file__).parents[2] / "dbt" / "macros" / "skipping_reasons.sql"
    assert "skipping_reasons()" in model["raw_code"]
    written = set(re.findall(r"'(\w+)'", macro.read_text()))
    assert written == {reason.value for reason in Reason if reason.outcome.value == "skipped"}


def test_the_marts_are_read_by_analysts_and_owned_by_who_builds_them(built: Built) -> None:
    with built.store.engine.begin() as connection:
        owners = set(connection.scalars(text("SELECT tableowner FROM pg_tables WHERE schemaname = 'marts'")))
        connection.execute(text(f"SET LOCAL ROLE {READER}"))
        counts = {name: connection.scalar(text(f"SELECT count(*) FROM marts.{name}")) for name in ORDERS}
    assert owners == {BUILDER}
    assert counts == {name: len(rows) for name, rows in built.second.items()}


def queries() -> list[str]:
    return re.findall(r"^```sql\n(.*?)^```", AUDIT_PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("query", queries())
def test_the_queries_of_the_page_are_answered(built: Built, query: str) -> None:
    with built.store.engine.begin() as connection:
        connection.execute(text(f"SET LOCAL ROLE {READER}"))
        assert list(connection.execute(text(query)))


def test_the_first_query_of_the_page_says_why_the_address_is_as_it_is(built: Built) -> None:
    with built.store.engine.begin() as connection:
        connection.execute(text(f"SET LOCAL ROLE {READER}"))
        answers = connection.execute(text(queries()[0])).mappings().all()
    assert columns([dict(row) for row in answers], "file", "row", "before", "after")[-1:] == [
        ("update.csv", 2, "ann@example.com", "ann@example.org")
    ]
