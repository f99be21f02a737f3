"""R41: what people are told about imports, word by word; severity, links, and texts that nobody can break."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest

from engage_etl.reports.notification_texts import NotificationText, Severity, Told, notification_text, partition_link
from engage_etl.store.imports import Import
from engage_etl.vocabulary.outcomes import Status

MOMENT = datetime(2026, 11, 24, 14, 2, tzinfo=UTC)
WEB = "http://127.0.0.1:3000"
BLANK: dict[str, Any] = {"int": 0, "str": "", "bool": True, "list[str]": [], "dict[str, int]": {}}
FAILED = {
    "import_id": "nightly-crm.contacts.20261124T1402Z.3fa9c1",
    "automation": "nightly-crm",
    "file": "contacts.csv",
    "group_name": "Newsletter",
    "status": Status.FAILED,
    "error_code": "header_invalid",
    "error_message": "contacts.csv: there is no attribute 'user.Emial' (column 2 of the header). Did you mean 'user.Email'?",
    "report": "reports/nightly-crm.contacts.20261124T1402Z.3fa9c1",
}
STOPPED = {
    "import_id": "manual.all.20261124T1402Z.aaaaaa",
    "file": "all.csv",
    "group_name": "Newsletter",
    "status": Status.STOPPED,
    "error_code": "max_rejected",
    "error_message": "all.csv: 10 of 12 rows (83.3%) are rejected; nothing was applied.",
    "planned_at": MOMENT,
    "rows": 12,
    "created": 1,
    "unchanged": 1,
    "rejected": 10,
    "reasons": {"value_invalid": 4, "address_invalid": 6},
    "report": "reports/manual.all.20261124T1402Z.aaaaaa",
}
WAITING = {
    "import_id": "manual.some.20261124T1402Z.bbbbbb",
    "file": "some.xml",
    "group_name": "Kunden",
    "status": Status.WAITING_FOR_APPROVAL,
    "planned_at": MOMENT,
    "rows": 1_200,
    "updated": 1_200,
    "left_group": 3,
}
APPLIED = {
    "import_id": "manual.more.20261124T1402Z.cccccc",
    "file": "more.csv",
    "group_name": "Newsletter",
    "status": Status.APPLIED,
    "planned_at": MOMENT,
    "rows": 3,
    "updated": 1,
    "skipped": 1,
    "rejected": 1,
    "reasons": {"superseded": 1, "address_in_use": 1},
    "drifted": 2,
    "left_group": 1,
    "report": "reports/manual.more.20261124T1402Z.cccccc",
}


def an_import(values: dict[str, Any]) -> Import:
    """An import of which only some columns matter."""
    return Import(**{field.name: values.get(field.name, BLANK.get(str(field.type))) for field in fields(Import)})


def told(*imports: dict[str, Any], is_kept: bool = True) -> NotificationText:
    entries = [an_import(values) for values in imports]
    return notification_text([Told(entry, partition_link(WEB, entry, is_kept=is_kept)) for entry in entries])


def test_a_dropped_file_that_failed() -> None:
    assert told(FAILED) == NotificationText(
        subject="Engage ETL: contacts.csv failed",
        body="""\
contacts.csv failed.

contacts.csv: there is no attribute 'user.Emial' (column 2 of the header). Did you mean 'user.Email'?

Group: Newsletter
Automation: nightly-crm

What to do: nothing was applied. Put right what is said above, then drop the file again.

Web page: http://127.0.0.1:3000/assets/validated_rows?view=partitions&partition=nightly-crm.contacts.20261124T1402Z.3fa9c1
Report: reports/nightly-crm.contacts.20261124T1402Z.3fa9c1, in the data folder
Import: nightly-crm.contacts.20261124T1402Z.3fa9c1
""",
        severity=Severity.FAILURE,
    )


def test_an_import_by_hand_that_a_brake_stopped() -> None:
    assert told(STOPPED) == NotificationText(
        subject="Engage ETL: all.csv was stopped",
        body="""\
all.csv was stopped.

all.csv: 10 of 12 rows (83.3%) are rejected; nothing was applied.

Group: Newsletter
Automation: none, imported by hand

Rows by the plan: 12 (1 created, 0 updated, 1 unchanged, 0 skipped, 10 rejected)
Reasons: address_invalid 6, value_invalid 4

Web page: http://127.0.0.1:3000/assets/match_plan?view=partitions&partition=manual.all.20261124T1402Z.aaaaaa
Report: reports/manual.all.20261124T1402Z.aaaaaa, in the data folder
Import: manual.all.20261124T1402Z.aaaaaa
""",
        severity=Severity.WARNING,
    )


def test_an_import_that_waits_for_approval() -> None:
    assert told(WAITING) == NotificationText(
        subject="Engage ETL: some.xml waits for approval",
        body="""\
some.xml waits for approval.

Group: Kunden
Automation: none, imported by hand

Rows by the plan: 1,200 (0 created, 1,200 updated, 0 unchanged, 0 skipped, 0 rejected)
Would leave the group: 3

What to do: nothing is applied yet. Look at the plan, then apply it with \
`engage-etl imports approve manual.some.20261124T1402Z.bbbbbb`.

Web page: http://127.0.0.1:3000/assets/match_plan?view=partitions&partition=manual.some.20261124T1402Z.bbbbbb
Import: manual.some.20261124T1402Z.bbbbbb
""",
        severity=Severity.INFO,
    )


def test_an_import_that_was_applied() -> None:
    assert told(APPLIED) == NotificationText(
        subject="Engage ETL: more.csv was applied",
        body="""\
more.csv was applied.

Group: Newsletter
Automation: none, imported by hand

Rows: 3 (0 created, 1 updated, 0 unchanged, 1 skipped, 1 rejected)
Reasons: address_in_use 1, superseded 1
Left the group: 1
Drift: 2 rows came out otherwise than planned first, as contacts had changed since

What to do: correct rejected.csv in the report and import it.

Web page: http://127.0.0.1:3000/assets/applied_updates?view=partitions&partition=manual.more.20261124T1402Z.cccccc
Report: reports/manual.more.20261124T1402Z.cccccc, in the data folder
Import: manual.more.20261124T1402Z.cccccc
""",
        severity=Severity.SUCCESS,
    )


def test_several_in_one_message_those_first_that_need_somebody() -> None:
    assert told(APPLIED, WAITING, FAILED) == NotificationText(
        subject="Engage ETL: 3 imports: 1 failed, 1 waiting for approval, 1 applied",
        body="""\
3 imports: 1 failed, 1 waiting for approval, 1 applied.

1. contacts.csv (nightly-crm, group Newsletter) failed.
contacts.csv: there is no attribute 'user.Emial' (column 2 of the header). Did you mean 'user.Email'?
What to do: nothing was applied. Put right what is said above, then drop the file again.
http://127.0.0.1:3000/assets/validated_rows?view=partitions&partition=nightly-crm.contacts.20261124T1402Z.3fa9c1

2. some.xml (by hand, group Kunden) waits for approval.
Rows by the plan: 1,200 (0 created, 1,200 updated, 0 unchanged, 0 skipped, 0 rejected)
Would leave the group: 3
What to do: nothing is applied yet. Look at the plan, then apply it with \
`engage-etl imports approve manual.some.20261124T1402Z.bbbbbb`.
http://127.0.0.1:3000/assets/match_plan?view=partitions&partition=manual.some.20261124T1402Z.bbbbbb

3. more.csv (by hand, group Newsletter) was applied.
Rows: 3 (0 created, 1 updated, 0 unchanged, 1 skipped, 1 rejected)
Reasons: address_in_use 1, superseded 1
Left the group: 1
Drift: 2 rows came out otherwise than planned first, as contacts had changed since
What to do: correct rejected.csv in the report and import it.
http://127.0.0.1:3000/assets/applied_updates?view=partitions&partition=manual.more.20261124T1402Z.cccccc
""",
        severity=Severity.FAILURE,
    )


def test_of_a_flood_twenty_are_described_and_the_others_counted() -> None:
    text = told(*[STOPPED] * 20, *[FAILED] * 180)
    assert text.subject == "Engage ETL: 200 imports: 180 failed, 20 stopped"
    assert text.body.count("contacts.csv (nightly-crm, group Newsletter) failed.") == 20
    last = "And 180 imports: 160 failed, 20 stopped; `engage-etl imports list` shows them.\n"
    assert text.body.endswith(last) and "all.csv" not in text.body
    assert len(text.body) < 12_000


@pytest.mark.parametrize(
    ("done", "is_kept", "asset"),
    [
        ({}, False, "raw_file"),
        ({}, True, "validated_rows"),
        ({"validated_at": MOMENT}, True, "match_plan"),
        ({"validated_at": MOMENT, "planned_at": MOMENT}, True, "applied_updates"),
    ],
)
def test_the_link_leads_to_the_stage_that_failed(done: dict[str, Any], is_kept: bool, asset: str) -> None:
    entry = an_import(FAILED | done)
    link = partition_link("https://etl.example.org/web/", entry, is_kept=is_kept)
    assert link == f"https://etl.example.org/web/assets/{asset}?view=partitions&partition={entry.import_id}"


def test_a_file_error_without_a_remedy_of_ours_says_it_itself() -> None:
    given = FAILED | {"error_code": "failed", "error_message": "contacts.csv: its run was cancelled. Drop it again."}
    assert "What to do" not in told(given).body


def test_names_of_files_add_no_lines_and_long_sentences_are_cut() -> None:
    text = told(FAILED | {"file": "a\r\nBcc: x@example.org\n.csv", "error_message": "a\nb: " + "word " * 500})
    assert text.subject == r"Engage ETL: a\r\nBcc: x@example.org\n.csv failed"
    assert "\nBcc" not in text.body and len(text.body) < 1_500


def test_there_has_to_be_something_to_tell() -> None:
    with pytest.raises(ValueError, match="at least one"):
        notification_text([])
