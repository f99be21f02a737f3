"""R39: after each import there is a report folder, joined by row number, that only its owner can read (R41)."""

from __future__ import annotations

import csv
import json
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, null, select

from engage_etl.applied_updates.stage import apply_updates
from engage_etl.errors import BrakeStopped, FileError
from engage_etl.match_plan.stage import make_plan
from engage_etl.raw_file.stage import archive_raw_file
from engage_etl.reports.report import write_report
from engage_etl.stage_run import import_stage
from engage_etl.store.engine import Store
from engage_etl.store.groups import create_group, list_groups
from engage_etl.store.imports import find_import, list_imports, register_import
from engage_etl.store.tables import contact_group, plan_row
from engage_etl.validated_rows.stage import validate_rows
from engage_etl.vocabulary.options import ImportOptions

ADDED = ["import.row", "import.reason", "import.message"]


@dataclass(frozen=True)
class Desk:
    """Imports files stage by stage, as the assets do."""

    store: Store
    folder: Path

    def run(self, name: str, content: str | bytes, *, apply: bool = True, **options: Any) -> str:
        source = self.folder / name
        source.write_bytes(content.encode() if isinstance(content, str) else content)
        asked = ImportOptions(group="Newsletter", **({"use_external_identifier": True} | options))
        with self.store.engine.begin() as connection:
            import_id = register_import(connection, source, asked)
        with import_stage(self.store, import_id):
            archive_raw_file(self.store, import_id)
            validate_rows(self.store, import_id)
            make_plan(self.store, import_id)
            if apply:
                apply_updates(self.store, import_id)
                write_report(self.store, import_id)
        return import_id

    def run_to_its_end(self, name: str, content: str | bytes, **options: Any) -> str:
        """Run an import that ends before it is applied; returns its id."""
        with pytest.raises((FileError, BrakeStopped)):
            self.run(name, content, **options)
        with self.store.engine.connect() as connection:
            return list_imports(connection, limit=1)[0].import_id

    def report(self, import_id: str) -> Path:
        return self.store.settings.report_dir(import_id)

    def summary(self, import_id: str) -> dict[str, Any]:
        return json.loads((self.report(import_id) / "summary.json").read_text(encoding="utf-8"))

    def rows(self, import_id: str, name: str, separator: str = ",", character_set: str = "utf-8") -> list[list[str]]:
        with (self.report(import_id) / name).open(encoding=character_set, newline="") as file:
            return list(csv.reader(file, delimiter=separator))


@pytest.fixture
def desk(store: Store, tmp_path: Path) -> Desk:
    with store.engine.begin() as connection:
        if "Newsletter" not in {group.name for group in list_groups(connection)}:
            create_group(connection, "Newsletter")
    return Desk(store, tmp_path)


FILE = (
    "user.Identifier,user.Email,user.ISOCountryCode\n"
    "1,ann@example.com,DE\n"
    ",nobody@example.com,DE\n"
    '2,"no\naddress",DE\n'
    "3,,GB\n"
    "1,ann.new@example.com,AT\n"
)


def test_each_file_of_the_report_holds_what_became_of_the_rows(desk: Desk) -> None:
    import_id = desk.run("contacts.csv", FILE)
    header = ["user.Identifier", "user.Email", "user.ISOCountryCode", *ADDED]
    rejected = desk.rows(import_id, "rejected.csv")
    assert rejected[0] == header
    assert [row[:-1] for row in rejected[1:]] == [
        ["", "nobody@example.com", "DE", "3", "identifier_missing"],
        ["2", "no\naddress", "DE", "4", "address_invalid"],
    ]
    skipped = desk.rows(import_id, "skipped.csv")
    assert [row[:-1] for row in skipped[1:]] == [
        ["1", "ann@example.com", "DE", "2", "superseded"],
        ["3", "", "GB", "6", "no_standard_identifier"],
    ]
    assert all(row[-1].startswith("contacts.csv, row ") for row in rejected[1:] + skipped[1:])
    with desk.store.engine.connect() as connection:
        query = select(plan_row.c.contact_id).where(plan_row.c.import_id == import_id, plan_row.c.row == 7)
        contact_id = str(connection.scalar(query))
    assert desk.rows(import_id, "changes.csv") == [
        ["row", "contact_id", "field", "before", "after"],
        ["7", contact_id, "email", "", "ann.new@example.com"],
        ["7", contact_id, "identifier", "", "1"],
        ["7", contact_id, "country_code", "", "AT"],
        ["7", contact_id, "groups", "", "Newsletter"],
    ]


def test_the_summary_is_the_one_of_the_command_line_and_its_counts_add_up(desk: Desk) -> None:
    import_id = desk.run("contacts.csv", FILE)
    summary = desk.summary(import_id)
    assert (
        summary["rows"]
        == 5
        == sum(summary[outcome] for outcome in ("created", "updated", "unchanged", "skipped", "rejected"))
    )
    assert sum(summary["reasons"].values()) == summary["skipped"] + summary["rejected"] == 4
    assert (summary["status"], summary["error"], summary["report"]) == ("applied", None, f"reports/{import_id}")
    with desk.store.engine.connect() as connection:
        assert find_import(connection, import_id).report == summary["report"]


def test_r41_folder_and_files_are_the_owner_s_only(desk: Desk) -> None:
    folder = desk.report(desk.run("contacts.csv", FILE))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == dict.fromkeys(("report.html", "summary.json", "rejected.csv", "skipped.csv", "changes.csv"), 0o600)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_r41_messages_show_no_address(desk: Desk) -> None:
    import_id = desk.run("contacts.csv", "user.Identifier,user.Email\n1,secret-address\n2,ann@example.com\n")
    [row] = desk.rows(import_id, "rejected.csv")[1:]
    assert row[1] == "secret-address" and "secret-address" not in row[-1]
    assert "secret-address" not in (desk.report(import_id) / "summary.json").read_text()


def test_a_rejected_file_that_is_corrected_can_be_imported_as_it_is(desk: Desk) -> None:
    first = desk.run("contacts.csv", FILE)
    corrected = (desk.report(first) / "rejected.csv").read_bytes().replace(b'"no\naddress"', b"b@example.com")
    second = desk.run("rejected.csv", corrected)
    assert (desk.summary(second)["created"], desk.summary(second)["rejected"]) == (1, 1)
    header, row = desk.rows(second, "rejected.csv")
    assert header == ["user.Identifier", "user.Email", "user.ISOCountryCode", *ADDED]
    assert row[:-1] == ["", "nobody@example.com", "DE", "2", "identifier_missing"]
    assert row[-1].startswith("rejected.csv, row 2")


def test_separator_and_encoding_of_the_source_are_kept_and_found_again(desk: Desk) -> None:
    content = "user.Identifier;user.FirstName;user.Email\n1;Zoë €;bad\n2;Jürgen;b@example.com\n".encode("iso-8859-15")
    stated = {"character_set": "ISO-8859-15"}
    first = desk.run("contacts.csv", content, **stated)
    [row] = desk.rows(first, "rejected.csv", ";", "iso-8859-15")[1:]
    assert row[:3] == ["1", "Zoë €", "bad"]
    again = (desk.report(first) / "rejected.csv").read_bytes().replace(b";bad;", b";a@example.com;")
    second = desk.run("rejected.csv", again, **stated)
    assert desk.summary(second)["created"] == 1
    assert ["first_name", "", "Zoë €"] in [row[2:] for row in desk.rows(second, "changes.csv")]


def test_bytes_that_do_not_fit_come_back_unchanged(desk: Desk) -> None:
    content = b"user.Identifier,user.Email,user.FirstName\n1,a@example.com,Zo\xeb\n2,b@example.com,Ann\n"
    import_id = desk.run("contacts.csv", content, character_set="utf-8")
    assert desk.summary(import_id)["reasons"] == {"row_malformed": 1}
    assert b"\r\n1,a@example.com,Zo\xeb,2,row_malformed," in (desk.report(import_id) / "rejected.csv").read_bytes()


def test_rows_with_too_few_cells_are_not_padded(desk: Desk) -> None:
    import_id = desk.run("contacts.csv", "user.Identifier,user.Email,user.FirstName\n1,Ann\n2,b@example.com,Ben\n")
    [row] = desk.rows(import_id, "rejected.csv")[1:]
    assert row[:4] == ["1", "Ann", "2", "row_malformed"]


XML = """<?xml version="1.0" encoding="utf-8"?>
<userdata xmlns="http://webservices.ecircle-ag.com/ecm"><list>
<user><firstname>Zoë</firstname><email>bad</email></user>
<user><email>b@example.com</email><namedattr name="Favourite shop">Mitte</namedattr></user>
</list></userdata>
"""


def test_xml_is_reported_as_csv_that_can_be_imported(desk: Desk) -> None:
    first = desk.run("contacts.xml", XML, use_external_identifier=False)
    header, row = desk.rows(first, "rejected.csv")
    assert header == ["user.Email", "user.FirstName", "user.CustomAttribute['Favourite shop']", *ADDED]
    assert row[:5] == ["bad", "Zoë", "", "1", "address_invalid"]
    corrected = (desk.report(first) / "rejected.csv").read_bytes().replace(b"bad", b"zoe@example.com", 1)
    second = desk.run("rejected.csv", corrected, use_external_identifier=False)
    assert desk.summary(second)["created"] == 1


def test_rows_are_joined_by_their_number_in_whatever_order_the_store_holds_them(desk: Desk) -> None:
    import_id = desk.run("contacts.csv", FILE)
    before = {path.name: path.read_bytes() for path in desk.report(import_id).iterdir()}
    with desk.store.engine.begin() as connection:
        rows = connection.execute(select(plan_row).where(plan_row.c.import_id == import_id)).mappings().all()
        connection.execute(delete(plan_row).where(plan_row.c.import_id == import_id))
        for row in sorted(rows, key=lambda row: -row["row"]):
            connection.execute(
                insert(plan_row).values({name: null() if row[name] is None else row[name] for name in row})
            )
    write_report(desk.store, import_id)
    assert {path.name: path.read_bytes() for path in desk.report(import_id).iterdir()} == before


def test_a_repeated_report_replaces_the_earlier_one(desk: Desk) -> None:
    import_id = desk.run("contacts.csv", FILE)
    before = {path.name: path.read_bytes() for path in desk.report(import_id).iterdir()}
    (desk.report(import_id) / "rejected.csv").write_text("spoilt")
    write_report(desk.store, import_id)
    assert {path.name: path.read_bytes() for path in desk.report(import_id).iterdir()} == before


def test_a_file_error_leaves_its_sentence_and_no_row_files(desk: Desk) -> None:
    import_id = desk.run_to_its_end("contacts.csv", "user.Identifier,user.Emial\n1,a@example.com\n")
    assert sorted(path.name for path in desk.report(import_id).iterdir()) == ["report.html", "summary.json"]
    summary = desk.summary(import_id)
    assert summary["status"] == "failed" and summary["error"]["code"] == "header_invalid"
    assert "user.Emial" in summary["error"]["message"] and "user.Email" in summary["error"]["message"]


def test_an_import_that_a_brake_stopped_has_a_whole_report(desk: Desk) -> None:
    import_id = desk.run_to_its_end("contacts.csv", FILE, max_rejected="1")
    assert desk.summary(import_id)["status"] == "stopped"
    assert len(desk.rows(import_id, "rejected.csv")) == 3
    assert desk.rows(import_id, "changes.csv")[1] == ["7", "", "email", "", "ann.new@example.com"]


def test_an_import_that_ended_before_its_plan_reports_the_rows_that_validation_rejected(desk: Desk) -> None:
    source = desk.folder / "contacts.csv"
    source.write_text(FILE)
    with desk.store.engine.begin() as connection:
        options = ImportOptions(group="Newsletter", use_external_identifier=True)
        import_id = register_import(connection, source, options)
    archive_raw_file(desk.store, import_id)
    validate_rows(desk.store, import_id)
    with desk.store.engine.begin() as connection:
        connection.execute(delete(contact_group).where(contact_group.c.name == "Newsletter"))
    with pytest.raises(FileError), import_stage(desk.store, import_id):
        make_plan(desk.store, import_id)
    assert [row[3:5] for row in desk.rows(import_id, "rejected.csv")[1:]] == [
        ["3", "identifier_missing"],
        ["4", "address_invalid"],
    ]
    assert not (desk.report(import_id) / "changes.csv").exists()
    assert desk.summary(import_id)["error"]["code"] == "group_unknown"
