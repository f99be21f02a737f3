"""Figures for monitoring, as OpenMetrics."""

from __future__ import annotations

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from engage_etl.reports.metrics import metrics
from engage_etl_tests.importing import Importing


def samples(importing: Importing) -> dict[tuple[str, str, str], float]:
    """Values by name, automation and the other label."""
    with importing.store.engine.connect() as connection:
        text = metrics(connection).decode()
    return {
        (sample.name, sample.labels["automation"], "".join(v for k, v in sample.labels.items() if k != "automation")):
            sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }  # fmt: skip


def test_imports_rows_and_seconds_by_automation(importing: Importing) -> None:
    importing.seed("user.Email,user.Identifier\na@x.org,1\nb@x.org,2\n")
    importing("user.Identifier,user.FirstName\n1,Ann\n2,Bob\n,Carl\n4,Dora\n")
    importing.plan("user.Identifier,user.FirstName\n1,Anna\n")
    found = samples(importing)
    assert found["engage_imports", "manual", "applied"] == 2
    assert found["engage_imports", "manual", "planned"] == 1
    rows = {key[2]: value for key, value in found.items() if key[0] == "engage_import_rows_total"}
    assert rows == {"created": 2, "updated": 2, "unchanged": 0, "skipped": 1, "rejected": 1}
    assert found["engage_applied_imports_total", "manual", ""] == 2
    seconds = {key[2]: value for key, value in found.items() if key[0] == "engage_step_seconds_total"}
    assert list(seconds) == ["validate", "plan", "apply"] and all(value > 0 for value in seconds.values())
    assert found["engage_last_applied_timestamp_seconds", "manual", ""] > 1.7e9
    assert found["engage_oldest_unfinished_timestamp_seconds", "manual", ""] > 1.7e9


def test_a_store_without_imports_has_no_samples(importing: Importing) -> None:
    assert samples(importing) == {}
