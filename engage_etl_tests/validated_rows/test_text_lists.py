"""Text lists: one address per line, without a header; matched on the address (R3)."""

from __future__ import annotations

import csv

import pytest

from engage_etl.errors import FileError
from engage_etl_tests.importing import GROUP, Importing

SEED = "user.Email,user.MobileNumber,user.Identifier\na@x.org,4911111,1\nb@x.org,4922222,2\n"


def listed(importing: Importing, content: str | bytes, **options: object):
    return importing(content, name="list.txt", use_external_identifier=False, **options)


def test_addresses_are_added_and_row_numbers_are_lines(importing: Importing) -> None:
    importing.seed(SEED)
    entry = listed(importing, "A@x.org\r\n\r\nnew@x.org\r\nno address\r\n c@x.org\r\nlast@x.org")
    assert importing.rows(entry) == [
        (1, "updated", None),  # R13: its spelling changes
        (3, "created", None),
        (4, "rejected", "address_invalid"),
        (5, "rejected", "address_invalid"),  # nothing is trimmed
        (6, "created", None),
    ]
    assert [email for (email,) in importing.column("email")] == ["A@x.org", "b@x.org", "new@x.org", "last@x.org"]


def test_mobile_numbers(importing: Importing) -> None:
    importing.seed(SEED)
    entry = listed(importing, "+4911111\n4933333\nx@x.org\n")
    assert importing.rows(entry) == [
        (1, "updated", None),
        (2, "created", None),
        (3, "rejected", "address_invalid"),
    ]


def test_remove_and_add_by_list(importing: Importing) -> None:
    """R20: the modes that need no more than addresses."""
    importing.seed(SEED)
    entry = listed(importing, "a@x.org\nnobody@x.org\n", import_mode="remove")
    assert importing.rows(entry) == [(1, "updated", None), (2, "skipped", "not_in_mode")]
    assert [found["groups"] for found in importing.contacts()] == [[], [GROUP]]
    entry = listed(importing, "a@x.org\nb@x.org\n", import_mode="add-contacts-as-members")
    assert importing.rows(entry) == [(1, "updated", None), (2, "skipped", "not_in_mode")]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"use_external_identifier": True}, "matched on the external identifier.*without --use-external-identifier"),
        ({"use_external_identifier": False, "import_mode": "update-current-members"}, "writes profiles.*--import-mode"),
    ],
)
def test_what_needs_more_than_addresses_is_refused(importing: Importing, options: dict[str, object], told: str) -> None:
    with pytest.raises(FileError, match=told) as raised:
        importing("a@x.org\n", name="list.txt", **options)
    assert raised.value.code == "header_invalid"


def test_a_stated_list_may_begin_with_anything(importing: Importing) -> None:
    entry = listed(importing, "nonsense@\na@x.org\n", file_type="text")
    assert importing.rows(entry) == [(1, "rejected", "address_invalid"), (2, "created", None)]


def test_bytes_that_do_not_fit_and_nul(importing: Importing) -> None:
    entry = listed(importing, b"a@x.org\nb\xff@x.org\nc\0@x.org\n", character_set="UTF-8")
    assert importing.rows(entry) == [
        (1, "created", None),
        (2, "rejected", "row_malformed"),
        (3, "rejected", "row_malformed"),
    ]
    assert "offset 9" in importing.messages(entry)[2]


def test_a_corrected_report_can_be_imported(importing: Importing) -> None:
    """R39: it is a CSV file then, with the address as its first column."""
    entry = listed(importing, "a@x.org\nb@x\n")
    report = importing.store.settings.report_dir(entry.import_id) / "rejected.csv"
    rows = list(csv.reader(report.read_text(encoding="utf-8").splitlines()))
    assert rows[0] == ["user.Email", "import.row", "import.reason", "import.message"]
    assert rows[1][:3] == ["b@x", "2", "address_invalid"]
    corrected = report.read_text(encoding="utf-8").replace("b@x,", "b@x.org,")
    again = importing(corrected, name="corrected.csv", use_external_identifier=False)
    assert importing.rows(again) == [(2, "created", None)]
