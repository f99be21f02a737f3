"""``engage-etl retention run``, and what commands say about what is gone."""

from __future__ import annotations

from engage_etl.settings import Settings
from engage_etl.store.engine import Store
from engage_etl_tests.cli.commands import engage_etl
from engage_etl_tests.importing import Importing
from engage_etl_tests.own_dagster import own_dagster
from engage_etl_tests.retention.ageing import age

ROWS = "user.Email,user.Identifier\nann@x.org,1\nnobody,2\n"


def test_retention_and_what_is_said_afterwards(importing: Importing, store: Store, settings: Settings) -> None:
    entry = importing(ROWS)
    age(store, entry.import_id, 91)
    with own_dagster(settings) as own:
        foretold = engage_etl(own, "retention", "run", "--dry-run", "--json").json
        done = engage_etl(own, "retention", "run", "--json").json
        table = engage_etl(own, "retention", "run")
    assert foretold["dry_run"] and not done["dry_run"] and foretold["removed"] == done["removed"]
    assert {one["kind"]: one["imports"] for one in done["removed"]} == {
        "raw_file": 1, "stage_files": 1, "report": 1, "settled_file": 0, "plan": 1, "runs": 0,
    }  # fmt: skip
    assert table.code == 0 and "ENGAGE_KEEP_RAW_FILES_DAYS=90" in table.out
    said_about(settings, entry.import_id)


def said_about(settings: Settings, import_id: str) -> None:
    shown = engage_etl(settings, "imports", "show", import_id)
    assert shown.code == 0 and shown.out.count("was removed on") == 3 and shown.out.count("were removed on") == 1
    assert "Report:" not in shown.out
    summary = engage_etl(settings, "imports", "show", import_id, "--json").json
    assert [one["what"] for one in summary["removed"]] == ["raw_file", "stage_files", "report", "plan"]
    assert (summary["rows"], summary["created"], summary["rejected"]) == (2, 1, 1)
    for command in ("rows", "report"):
        ended = engage_etl(settings, "imports", command, import_id)
        assert ended.code == 2 and "by retention (ENGAGE_KEEP_PLANS_DAYS=90)." in ended.err and not ended.out
    as_json = engage_etl(settings, "imports", "rows", import_id, "--json").json
    assert as_json["error"]["code"] == "removed"
