"""Who changed what, when: ``contacts show --history``, ``imports show``, ``imports diff``."""

from __future__ import annotations

from engage_etl.applied_updates.revert import revert_import
from engage_etl.applied_updates.stage import approve_plan
from engage_etl.settings import Settings
from engage_etl_tests.cli.commands import engage_etl
from engage_etl_tests.importing import STAGES, Importing

SEED = "user.Email,user.Identifier\nold@x.org,1\n"
FIRST = "user.Identifier,user.Email,user.FirstName\n1,new@x.org,Ann\n2,two@x.org,\n,nobody@x.org,\n"
SECOND = "user.Identifier,user.Email,user.FirstName\n1,new@x.org,Anna\n"


def test_the_history_of_a_contact_reads_as_a_time_line(importing: Importing, settings: Settings) -> None:
    seeded, changed = importing.seed(SEED), importing(FIRST)
    shown = engage_etl(settings, "contacts", "show", "--identifier", "1", "--history").out
    lines = [line.rstrip() for line in shown[shown.index("●") :].splitlines() if line.strip()]
    moments = [line for line in lines if line.startswith("●")]
    assert [line.split()[-1] for line in moments] == ["created", "updated"]
    assert all(line.split()[3] == "UTC" for line in moments)
    assert [line for line in lines if not line.startswith("●")] == [
        "│ row 2 of seed.csv, imported by hand, group Newsletter",
        f"│ import {seeded.import_id}",
        "│   email: (blank) → old@x.org",
        "│   identifier: (blank) → 1",
        "│   groups: (blank) → Newsletter",
        "│ row 2 of contacts.csv, imported by hand, group Newsletter",
        f"│ import {changed.import_id}",
        "│   email: old@x.org → new@x.org",
        "│   first_name: (blank) → Ann",
    ]


def test_the_time_line_says_who_did_it_and_who_approved(importing: Importing, settings: Settings) -> None:
    importing.seed(SEED)
    waits = importing.plan(SECOND, name="crm.csv", approval="second-person", started_by="bob")
    approve_plan(importing.store, waits.import_id, by="Ann Muster", plan_hash=waits.plan_hash or "")
    importing.run(waits.import_id, STAGES[3:])
    undone = revert_import(importing.store, waits.import_id, "Cem")
    shown = engage_etl(settings, "contacts", "show", "--identifier", "1", "--history").out
    for line in (
        "│ row 2 of seed.csv, imported by hand, group Newsletter",
        "│ row 2 of crm.csv, imported by bob, group Newsletter",
        f"│ import {waits.import_id}, approved by Ann Muster",
        f"│ row 2 of crm.csv, revert by Cem of {waits.import_id}, group Newsletter",
        f"│ import {undone.import_id}",
    ):
        assert line in shown.splitlines(), shown
    told = engage_etl(settings, "contacts", "show", "--identifier", "1", "--history", "--json").json[0]["history"]
    assert [(one["started_by"], one["approved_by"], one["reverts"], one["reverted_by"]) for one in told] == [
        (None, None, None, None),
        ("bob", "Ann Muster", None, None),
        (None, None, waits.import_id, "Cem"),
    ]


def test_imports_show_has_a_bar_per_outcome(importing: Importing, settings: Settings) -> None:
    importing.seed(SEED)
    shown = engage_etl(settings, "imports", "show", importing(FIRST).import_id).out
    bars = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line.split()[:1]}
    assert [bars[name][0] for name in ("created", "updated", "unchanged", "skipped", "rejected")] == list("11001")
    assert len(bars["created"][1]) == len(bars["rejected"][1]) == 14  # a third of 40 characters, rounded up
    assert len(bars["unchanged"]) == 1
    assert bars["identifier_missing"] == ["1"]


def test_imports_diff_shows_two_imports_side_by_side(importing: Importing, settings: Settings) -> None:
    importing.seed(SEED)
    first, second = importing(FIRST), importing(SECOND, name="second.csv", duplicates="reject")
    difference = engage_etl(settings, "imports", "diff", first.import_id, second.import_id, "--json").json
    assert difference["imports"] == [first.import_id, second.import_id]
    assert difference["facts"]["file"] == ["contacts.csv", "second.csv"]
    assert difference["facts"]["bytes"] == [len(FIRST), len(SECOND)]
    assert "character set" not in difference["facts"]
    assert difference["options"] == {"duplicates": ["last", "reject"]}
    assert difference["counts"] == {
        "rows": [3, 1], "created": [1, 0], "updated": [1, 1], "unchanged": [0, 0], "skipped": [0, 0], "rejected": [1, 0]
    }  # fmt: skip
    assert difference["reasons"] == {"identifier_missing": [1, 0]}
    assert difference["changed_fields"] == {
        "email": [2, 0], "identifier": [1, 0], "first_name": [1, 1], "groups": [1, 0]
    }  # fmt: skip
    shown = engage_etl(settings, "imports", "diff", first.import_id, second.import_id).out
    assert ["rows", "3", "1", "-2"] in [line.split() for line in shown.splitlines()]
    assert ["duplicates", "last", "reject"] in [line.split() for line in shown.splitlines()]


def test_imports_diff_of_an_unknown_import_is_wrong_usage(importing: Importing, settings: Settings) -> None:
    known = importing.seed(SEED).import_id
    ended = engage_etl(settings, "imports", "diff", known, "no.such.import")
    assert ended.code == 2 and "no.such.import" in ended.err
