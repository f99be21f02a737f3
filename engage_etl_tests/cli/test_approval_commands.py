"""``imports approve``, ``imports reject``, ``imports plan``, ``import --dry-run``: commands, sentences, exit codes (R34, R35)."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from engage_etl.settings import Settings
from engage_etl.store.approvals import find_approval
from engage_etl.store.tables import contact, plan_approval
from engage_etl_tests.cli.commands import Ended, engage_etl, environment
from engage_etl_tests.importing import GROUP, Importing
from engage_etl_tests.waiting import wait_for, wait_until_given_up

pytestmark = pytest.mark.scenario
CONTENT = "user.Identifier,user.Email\n1,new@x.org\n2,b@x.org\n"


@pytest.fixture
def file(importing: Importing, tmp_path: Path) -> Path:
    importing.seed("user.Email,user.Identifier\nold@x.org,1\n")
    source = tmp_path / "crm.csv"
    source.write_text(CONTENT)
    return source


def do_import(settings: Settings, file: Path, *options: str) -> Ended:
    return engage_etl(settings, "import", file, "--group", GROUP, "--use-external-identifier", *options)


def waiting(settings: Settings, file: Path, *options: str) -> dict[str, Any]:
    """An import that waits, as ``--json`` has it."""
    ended = do_import(settings, file, "--json", *(options or ("--approval", "required")))
    assert ended.code == 1, ended.err
    found: dict[str, Any] = ended.json
    return found


def test_r35_waits_is_approved_and_applied(importing: Importing, settings: Settings, file: Path) -> None:
    found = waiting(settings, file, "--approval", "required", "--by", "ann")
    assert (found["status"], found["error"], found["started_by"], found["approval"]) == (
        "waiting_for_approval", None, "ann", None,
    )  # fmt: skip
    shown = engage_etl(settings, "imports", "show", found["import_id"])
    for words in ("waiting_for_approval", found["plan_hash"], f"engage-etl imports approve {found['import_id']}"):
        assert words in shown.out
    assert (settings.root / found["report"] / "changes.csv").is_file()
    assert importing.column("email") == [("old@x.org",)]

    approved = engage_etl(settings, "imports", "approve", found["import_id"], "--by", "Bob", "--json")
    assert (approved.code, approved.json["status"]) == (0, "applied"), approved.err
    assert (approved.json["approval"]["by"], approved.json["plan_hash"]) == ("Bob", found["plan_hash"])
    assert importing.column("email") == [("new@x.org",), ("b@x.org",)]
    assert engage_etl(settings, "imports", "show", found["import_id"], "--json").json == approved.json
    assert file.read_text() == CONTENT
    again = engage_etl(settings, "imports", "approve", found["import_id"], "--by", "Bob")
    assert again.code == 0 and "Approved by Bob, " in again.out


def test_r34_a_stopped_import_is_applied_all_the_same(importing: Importing, settings: Settings, file: Path) -> None:
    found = waiting(settings, file, "--max-changed", "50%")
    assert (found["status"], found["error"]["code"]) == ("stopped", "max_changed")
    assert "crm.csv: 2 of 2 rows (100.0%) create or update, more than 50% (max-changed)" in found["error"]["message"]
    approved = engage_etl(settings, "imports", "approve", found["import_id"], "--json")
    assert (approved.code, approved.json["error"]) == (0, None), approved.err
    assert approved.json["approval"]["overrides"] == ["max_changed"]
    assert approved.json["approval"]["by"] == found["started_by"] != ""


def test_r35_a_second_person(importing: Importing, settings: Settings, file: Path) -> None:
    found = waiting(settings, file, "--approval", "second-person")
    refused = engage_etl(settings, "imports", "approve", found["import_id"], "--json")
    assert (refused.code, refused.json["error"]["code"]) == (1, "approval_refused")
    assert "Let somebody else approve it." in refused.json["error"]["message"]
    assert importing.column("email") == [("old@x.org",)]
    assert engage_etl(settings, "imports", "approve", found["import_id"], "--by", "Somebody Else").code == 0


def test_r31_drift_is_refused_and_planned_again_on_request(
    importing: Importing, settings: Settings, file: Path
) -> None:
    found = waiting(settings, file)
    with importing.store.engine.begin() as foreign:
        foreign.execute(update(contact).values(email="foreign@x.org", email_key="foreign@x.org"))
    approve = ("imports", "approve", found["import_id"], "--by", "Ann")
    refused = engage_etl(settings, *approve, "--json")
    assert (refused.code, refused.json["error"]["code"]) == (1, "plan_drifted"), refused.err
    assert "1 of its rows would come out otherwise now: row 2 (contact " in refused.json["error"]["message"]
    assert f"engage-etl imports plan {found['import_id']}" in refused.json["error"]["message"]
    shown = engage_etl(settings, "imports", "show", found["import_id"], "--json").json
    assert (shown["status"], shown["drifted"], shown["error"]) == (
        "waiting_for_approval", 1, refused.json["error"],
    )  # fmt: skip
    planned = engage_etl(settings, "imports", "plan", found["import_id"], "--json")
    assert (planned.code, planned.json["status"], planned.json["error"]) == (0, "waiting_for_approval", None)
    stale = engage_etl(settings, *approve, "--plan-hash", found["plan_hash"], "--json")
    assert (stale.code, stale.json["error"]["code"]) == (1, "approval_refused")
    assert engage_etl(settings, *approve, "--plan-hash", planned.json["plan_hash"]).code == 0
    assert importing.column("email") == [("new@x.org",), ("b@x.org",)]


def test_killed_between_approval_and_apply_the_command_completes_it(
    importing: Importing, settings: Settings, file: Path
) -> None:
    found = waiting(settings, file)
    approve = ("imports", "approve", found["import_id"], "--by", "Ann")

    def approval() -> object:
        with importing.store.engine.connect() as connection:
            return find_approval(connection, found["import_id"])

    with importing.store.engine.connect() as other:
        other.execute(text("SELECT * FROM engage.contact FOR UPDATE"))  # so that the apply waits
        command = [sys.executable, "-m", "engage_etl.cli.main", *approve]
        with subprocess.Popen(command, env=environment(settings), stderr=subprocess.PIPE) as process:
            wait_for("the approval is recorded", lambda: approval() is not None, pause=0.02)
            process.kill()
        assert importing.entry(found["import_id"]).status == "waiting_for_approval"
    wait_until_given_up(importing.store, found["import_id"])
    ended = engage_etl(settings, *approve, "--json")
    assert (ended.code, ended.json["status"]) == (0, "applied"), ended.err
    assert importing.column("email") == [("new@x.org",), ("b@x.org",)]
    with importing.store.engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(plan_approval)) == 1


def test_of_several_who_approve_at_once_one_applies_and_the_others_are_told(
    importing: Importing, settings: Settings, file: Path
) -> None:
    found = waiting(settings, file)
    people = ("Ann", "Bob", "Cem")
    with ThreadPoolExecutor(len(people)) as pool:
        ended = list(
            pool.map(lambda name: engage_etl(settings, "imports", "approve", found["import_id"], "--by", name), people)
        )
    assert importing.column("email") == [("new@x.org",), ("b@x.org",)]
    with importing.store.engine.connect() as connection:
        approval = find_approval(connection, found["import_id"])
    assert approval is not None
    assert not [one.err for one in ended if "interrupted" in one.err or "Traceback" in one.err]
    for name, one in zip(people, ended, strict=True):
        if one.code == 0:
            assert f"Approved by {approval.approved_by}, " in one.out
            assert name == approval.approved_by or one.err == "" or "in the same moment" in one.err
        else:
            assert name != approval.approved_by and "being worked on by another process" in one.err, one


def test_r35_rejected(importing: Importing, settings: Settings, file: Path) -> None:
    found = waiting(settings, file)
    reject = ("imports", "reject", found["import_id"], "--because", "last month's file", "--by", "Ann")
    rejected = engage_etl(settings, *reject, "--json")
    assert (rejected.code, rejected.json["status"]) == (0, "failed"), rejected.err
    assert rejected.json["error"] == {
        "code": "plan_rejected",
        "message": "crm.csv: Ann has rejected the plan, and nothing was applied. The reason: last month's file",
    }
    assert '"plan_rejected"' in (settings.root / found["report"] / "summary.json").read_text()
    for command in (reject, ("imports", "approve", found["import_id"]), ("imports", "plan", found["import_id"])):
        ended = engage_etl(settings, *command)
        assert ended.code == 2 and "is failed, and there is nothing to" in ended.err and "Traceback" not in ended.err
    assert importing.column("email") == [("old@x.org",)]


def test_r35_a_dry_run_ends_with_its_report(importing: Importing, settings: Settings, file: Path) -> None:
    ended = do_import(settings, file, "--dry-run", "--json")
    found = ended.json
    assert (ended.code, found["status"], found["error"], found["dry_run"]) == (0, "planned", None, True), ended.err
    assert (found["created"], found["updated"]) == (1, 1)
    assert "new@x.org" in (settings.root / found["report"] / "changes.csv").read_text()
    assert importing.column("email") == [("old@x.org",)]
    for command in ("approve", "reject"):
        because = ("--because", "no") if command == "reject" else ()
        refused = engage_etl(settings, "imports", command, found["import_id"], *because)
        assert refused.code == 2 and "is a dry run, which is never applied" in refused.err
    shown = engage_etl(settings, "imports", "show", found["import_id"])
    assert "planned (dry run, nothing is applied)" in shown.out
    real = do_import(settings, file, "--json")
    assert (real.code, real.json["plan_hash"]) == (0, found["plan_hash"])


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("imports", "approve", "nope"), ("There is no import 'nope'",)),
        (("imports", "reject", "nope", "--because", "x"), ("There is no import 'nope'",)),
        (("imports", "plan", "nope"), ("There is no import 'nope'",)),
        (("imports", "reject", "nope"), ("--because", "engage-etl imports reject --help")),
        (("imports", "approve", "nope", "--by", " "), ("--by ' ' names nobody",)),
        (
            ("import", __file__, "--group", "g", "--approval", "requred"),
            ("--approval 'requred'", "Did you mean required?"),
        ),
        (("import", __file__, "--group", "g", "--max-changed", "lots"), ("--max-changed 'lots'", "a share like 5%")),
        (("import", __file__, "--group", "g", "--by", ""), ("--by '' names nobody",)),
    ],
)
def test_wrong_calls_are_one_sentence(
    importing: Importing, settings: Settings, arguments: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    ended = engage_etl(settings, *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("Error: ") and ended.err.count("\n") == 1
    assert [part for part in parts if part not in ended.err] == []
