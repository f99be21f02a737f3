"""``engage-etl import`` in a process of its own, as a real Dagster run."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from engage_etl.settings import Settings
from engage_etl.store.engine import Store
from engage_etl.triggers.instance import open_instance
from engage_etl.triggers.run_import import list_runs
from engage_etl_tests.cli.commands import engage_etl
from engage_etl_tests.importing import GROUP, Importing

EXAMPLES = Path(__file__).parents[2] / "data" / "samples" / "examples"
pytestmark = pytest.mark.scenario


def test_mixed_outcomes_give_the_figures_of_the_interface_page(importing: Importing, settings: Settings) -> None:
    """Row by row from the spec: 2 superseded (R10), 3 unchanged (R33), 4 created (R6), 5 no address (R7), 6 no identifier
    (R9), 7 bad address, 8 bad country (R18), 9 mangled (R15), 10 bad mobile number (R16), 11 updated (R5)."""
    importing.seed(
        "user.Email,user.Identifier,user.ISOCountryCode\n"
        + "".join(f"c{number}@example.com,{number},DE\n" for number in range(1001, 1005))
    )
    ended = engage_etl(
        settings, "import", EXAMPLES / "mixed-outcomes.csv", "--group", GROUP, "--use-external-identifier", "--json"
    )
    assert ended.code == 0, ended.err
    found = ended.json
    assert {name: found[name] for name in ("file", "group", "status", "error", "drifted")} == {
        "file": "mixed-outcomes.csv",
        "group": "Newsletter",
        "status": "applied",
        "error": None,
        "drifted": 0,
    }
    counts = ("rows", "created", "updated", "unchanged", "skipped", "rejected")
    assert [found[name] for name in counts] == [10, 1, 1, 1, 2, 5]
    assert found["reasons"] == {
        "superseded": 1,
        "no_standard_identifier": 1,
        "identifier_missing": 1,
        "address_invalid": 2,
        "value_invalid": 1,
        "identifier_mangled": 1,
    }
    rows = engage_etl(settings, "imports", "rows", found["import_id"], "--json").json
    assert [(row["row"], row["outcome"], row["reason"]) for row in rows] == [
        (2, "skipped", "superseded"),
        (3, "unchanged", None),
        (4, "created", None),
        (5, "skipped", "no_standard_identifier"),
        (6, "rejected", "identifier_missing"),
        (7, "rejected", "address_invalid"),
        (8, "rejected", "value_invalid"),
        (9, "rejected", "identifier_mangled"),
        (10, "rejected", "address_invalid"),
        (11, "updated", None),
    ]
    assert rows[-1]["changes"] == {"email": ["c1001@example.com", "newest.address@example.com"]}
    assert engage_etl(settings, "imports", "show", found["import_id"], "--json").json == found
    report = settings.root / found["report"]
    assert sorted(file.name for file in report.iterdir()) == [
        "changes.csv",
        "rejected.csv",
        "report.html",
        "skipped.csv",
        "summary.json",
    ]


def test_several_files_give_a_list_and_the_worst_code(importing: Importing, settings: Settings, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text("user.Identifier,user.Email\n1,a@x.org\n,b@x.org\n")
    bad.write_text("user.Identifier,user.Emial\n1,a@x.org\n")
    files = ("import", good, bad, "--group", GROUP, "--use-external-identifier", "--json")
    ended = engage_etl(settings, *files, "--strict")
    assert ended.code == 1
    assert [found["status"] for found in ended.json] == ["applied", "failed"]
    error = ended.json[1]["error"]
    assert error["code"] == "header_invalid"
    assert "bad.csv" in error["message"] and "'user.Emial'" in error["message"] and "'user.Email'" in error["message"]
    assert engage_etl(settings, "imports", "rows", ended.json[1]["import_id"], "--json").json == []
    assert engage_etl(settings, "import", good, "--group", GROUP, "--use-external-identifier", "--strict").code == 3


def test_the_run_is_in_dagster_and_its_failure_begins_with_our_sentence(
    importing: Importing, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("user.Identifier,user.Emial\n1,a@x.org\n")
    ended = engage_etl(settings, "import", bad, "--group", GROUP, "--use-external-identifier", "--json")
    monkeypatch.setattr(os, "environ", os.environ.copy())
    with open_instance(settings) as instance:
        (run,) = list_runs(instance, ended.json["import_id"])
        assert run.status.value == "FAILURE"
        assert run.tags["file"] == "bad.csv" and run.tags["group"] == GROUP
        failures = [log.dagster_event for log in instance.all_logs(run.run_id) if log.dagster_event]
        (failure,) = [event for event in failures if event.event_type_value == "STEP_FAILURE"]
        assert failure.step_failure_data.user_failure_data.description == ended.json["error"]["message"]
        assert failure.step_failure_data.error.message.startswith("bad.csv: ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nowhere.csv", "--group", "g"), "nowhere.csv does not exist"),
        ((".", "--group", "g"), "is a folder"),
        ((__file__, "--group", "g", "--separator", "x"), "--separator 'x'"),
        ((__file__, "--group", "g", "--character-set", "klingon"), "--character-set 'klingon'"),
        ((__file__, "--group", "g", "--max-rejected", "lots"), "--max-rejected 'lots'"),
        ((__file__, "--group", "g", "--identifier-pattern", "("), "--identifier-pattern '('"),
    ],
)
def test_wrong_usage_is_a_sentence_and_registers_nothing(
    store: Store, settings: Settings, arguments: tuple[str, ...], sentence: str
) -> None:
    ended = engage_etl(settings, "import", *arguments)
    assert ended.code == 2
    assert sentence in ended.err and "Traceback" not in ended.err and ended.out == ""
    assert engage_etl(settings, "imports", "list", "--json").json == []


def test_a_group_that_does_not_exist_fails_the_import(store: Store, settings: Settings) -> None:
    ended = engage_etl(settings, "import", EXAMPLES / "seed-example.csv", "--group", "Nowhere", "--json")
    assert ended.code == 1
    assert ended.json["error"]["code"] == "group_unknown"


def test_the_terminal_shows_counts_reasons_and_the_sentence(
    importing: Importing, settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "some [file].csv"
    file.write_text("user.Identifier,user.Email\n1,a@x.org\n2,no-address\n")
    ended = engage_etl(settings, "import", file, "--group", GROUP, "--use-external-identifier")
    assert ended.code == 0
    for words in ("some [file].csv", "applied", "address_invalid", 'row 3: user.Email is "n…s"', "Report:"):
        assert words in ended.out
    assert "rejected.csv" in ended.err


def test_an_archive_of_many_files_gives_a_list_and_all_options_work(
    importing: Importing, settings: Settings, tmp_path: Path
) -> None:
    """R26: each entry is an import of its own; the exit code is the worst. R12, R18-R21 by their options."""
    importing.seed("user.Email,user.Identifier,user.FirstName\na@x.org,1,Ann\n")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("a.csv", "user.Identifier,user.FirstName,user.Title\n1,,99\n")
        archive.writestr("b.csv", "nonsense\n")
    ended = engage_etl(
        settings, "import", tmp_path / "all.zip", "--group", GROUP, "--use-external-identifier", "--json",
        "--import-mode", "update-current-members", "--update-rule", "always", "--update-rule", "title=if-stored-blank",
        "--invalid-values", "drop", "--link-unidentified", "--ignore-unsubscribed", "--ignore-deactivated",
    )  # fmt: skip
    assert ended.code == 1, ended.err
    first, second = ended.json
    assert (first["file"], first["status"], first["updated"]) == ("all.zip/a.csv", "applied", 1)
    assert first["warnings"] == [
        "all.zip/a.csv: 1 value of user.Title did not fit and was dropped; the messages of the rows say which."
    ]
    assert (second["file"], second["error"]["code"]) == ("all.zip/b.csv", "header_invalid")
    assert importing.column("first_name", "title") == [(None, None)]
