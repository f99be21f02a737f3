"""``engage-etl imports revert`` in a process of its own, as a real Dagster run."""

from __future__ import annotations

import dagster as dg
import pytest
from sqlalchemy import update

from engage_etl.applied_updates.revert import revert_import
from engage_etl.settings import Settings
from engage_etl.store.tables import contact
from engage_etl.triggers.instance import open_instance
from engage_etl.triggers.revert_job import REVERT_IMPORT, REVERTS
from engage_etl_tests.cli.commands import engage_etl
from engage_etl_tests.importing import STAGES, Importing

pytestmark = pytest.mark.scenario

SEED = "user.Email,user.Identifier,user.FirstName\nann@x.org,1,Ann\nbob@x.org,2,Bob\n"
CHANGES = "user.Identifier,user.Email,user.FirstName\n1,new@x.org,Anna\n3,cleo@x.org,Cleo\n"


def test_an_import_is_reverted_as_a_run_and_only_once(importing: Importing, settings: Settings) -> None:
    importing.seed(SEED)
    before = importing.column("email", "first_name")
    entry = importing(CHANGES)
    with importing.store.engine.begin() as foreign:
        foreign.execute(update(contact).where(contact.c.identifier == "1").values(first_name="Annika"))
    ann = importing.contacts()[0]["contact_id"]
    dry = engage_etl(settings, "imports", "revert", entry.import_id, "--dry-run", "--json")
    assert dry.code == 0, dry.err
    assert dry.json["revert_id"] is None
    assert importing.entry(entry.import_id).status == "applied"
    ended = engage_etl(settings, "imports", "revert", entry.import_id, "--by", "Ann Muster", "--json")
    assert ended.code == 0, ended.err
    found = ended.json
    assert {**found, "revert_id": None} == dry.json
    assert list(found) == ["import_id", "revert_id", "restored", "kept", "failed", "details"]
    assert (found["import_id"], found["restored"], found["kept"], found["failed"]) == (entry.import_id, 2, 1, 0)
    assert found["details"] == [
        {
            "row": 2,
            "contact_id": ann,
            "field": "first_name",
            "result": "kept",
            "before": "Ann",
            "given": "Anna",
            "now": "Annika",
            "message": f"contacts.csv, row 2: contact {ann}: first_name was changed since the import, "
            "so that it stays as it is.",
        }
    ]
    assert importing.column("email", "first_name") == [(before[0][0], "Annika"), before[1]]
    again = engage_etl(settings, "imports", "revert", entry.import_id, "--json")
    assert (again.code, again.json) == (0, found)
    assert "is reverted already" in again.err
    assert runs(settings, entry.import_id) == [dg.DagsterRunStatus.SUCCESS]
    shown = engage_etl(settings, "imports", "show", found["revert_id"], "--json").json
    assert (shown["reverts"], shown["reverted_by"], shown["restored"]) == (entry.import_id, "Ann Muster", 2)
    listed = engage_etl(settings, "imports", "list", "--json").json
    assert [(one["import_id"], one["status"]) for one in listed[:2]] == [
        (found["revert_id"], "applied"),
        (entry.import_id, "reverted"),
    ]


def test_rows_of_a_revert_are_what_it_took_back_and_what_it_did_not(importing: Importing, settings: Settings) -> None:
    importing.seed(SEED)
    entry = importing(CHANGES)
    with importing.store.engine.begin() as foreign:
        foreign.execute(update(contact).where(contact.c.identifier == "1").values(first_name="Annika"))
    undone = revert_import(importing.store, entry.import_id)
    found = engage_etl(settings, "imports", "rows", undone.import_id, "--json").json
    assert [(one["row"], one["outcome"], one["changes"].get("email")) for one in found] == [
        (2, "updated", ["new@x.org", "ann@x.org"]),
        (2, "kept", None),
        (3, "removed", ["cleo@x.org", None]),
    ]
    assert "first_name was changed since" in found[1]["message"] and list(found[0]) == list(found[1])
    shown = engage_etl(settings, "imports", "rows", undone.import_id).out.splitlines()
    assert [line.split()[:2] for line in shown] == [["2", "updated"], ["2", "kept"], ["3", "removed"]]
    only = engage_etl(settings, "imports", "rows", undone.import_id, "--outcome", "updated", "--json").json
    assert only == found[:1]


def runs(settings: Settings, import_id: str) -> list[dg.DagsterRunStatus]:
    """How the runs ended that reverted an import."""
    with open_instance(settings) as instance:
        found = instance.get_runs(filters=dg.RunsFilter(job_name=REVERT_IMPORT, tags={REVERTS: import_id}))
    return [run.status for run in found]


def test_people_see_counts_and_sentences(importing: Importing, settings: Settings) -> None:
    importing.seed(SEED)
    entry = importing(CHANGES)
    importing("user.Identifier,user.Email\n9,ANN@x.org\n")
    dry = engage_etl(settings, "imports", "revert", entry.import_id, "--dry-run")
    assert dry.code == 0 and "would be reverted" in dry.out
    ended = engage_etl(settings, "imports", "revert", entry.import_id)
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[2].split() == ["3", "2", "0", "1"]
    assert "its former email is held by contact" in ended.out and "ANN@x.org" not in ended.out
    revert_id = ended.out.split("(", 1)[1].split(")", 1)[0]
    anew = engage_etl(settings, "imports", "report", revert_id)
    assert anew.out.strip() == str(settings.report_dir(revert_id))


def test_what_cannot_be_reverted_is_said_in_a_sentence(importing: Importing, settings: Settings) -> None:
    importing.seed(SEED)
    unknown = engage_etl(settings, "imports", "revert", "nope", "--json")
    assert (unknown.code, unknown.json["error"]["code"]) == (2, "import_unknown")
    planned = importing.run(importing.register(CHANGES), STAGES[:3])
    for options in ((), ("--dry-run",)):
        refused = engage_etl(settings, "imports", "revert", planned.import_id, *options)
        assert refused.code == 2
        assert "is planned; only an import that is applied can be reverted" in refused.err
