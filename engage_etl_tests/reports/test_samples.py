"""R41: what is shown in the web page and the log is masked, unless a setting shows it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import insert

from engage_etl.match_plan.stage import changed_fields
from engage_etl.reports.samples import (
    described_changes,
    field_change_counts,
    file_preview,
    plan_sample,
    rejected_sample,
    valid_sample,
)
from engage_etl.store.engine import Store
from engage_etl.store.imports import find_import, register_import, update_import
from engage_etl.store.tables import plan_row
from engage_etl.validated_rows.stage_files import REJECTED_SCHEMA, VALID_SCHEMA, rejected_file, valid_file
from engage_etl.vocabulary.file_format import FileFormat
from engage_etl.vocabulary.options import FileType, ImportOptions

SECRETS = ("ann@example.com", "Ann", "Muster", "blue")


def csv_format(separator: str = ",", character_set: str = "utf-8") -> FileFormat:
    return FileFormat(file_type=FileType.CSV, separator=separator, character_set=character_set, detection={})


def xml_format() -> FileFormat:
    return FileFormat(file_type=FileType.XML, separator=None, character_set="utf-8", detection={})


def write_valid(folder: Path, **values: object) -> None:
    row = {"row": 2, "match_kind": "identifier", "match_key": "7", "identifier": "7", **values}
    pq.write_table(pa.Table.from_pylist([row], schema=VALID_SCHEMA), valid_file(folder))


class TestValidSample:
    @pytest.fixture(autouse=True)
    def _rows(self, tmp_path: Path) -> None:
        write_valid(tmp_path, email="ann@example.com", email_key="ann@example.com", first_name="Ann",
                    country_code="DE", custom=json.dumps({"colour": "blue", "size": 7}))  # fmt: skip

    def test_personal_and_custom_values_are_masked_and_others_shown(self, tmp_path: Path) -> None:
        assert valid_sample(tmp_path, 5, show=False) == [
            {"row": "2", "email": "a…@….com", "identifier": "7", "first_name": "A…", "country_code": "DE",
             "custom.colour": "b…", "custom.size": "…"}
        ]  # fmt: skip

    def test_a_setting_shows_them(self, tmp_path: Path) -> None:
        [row] = valid_sample(tmp_path, 5, show=True)
        assert (row["email"], row["custom.colour"], row["custom.size"]) == ("ann@example.com", "blue", "7")

    def test_no_rows_are_asked_for_or_there(self, tmp_path: Path) -> None:
        assert valid_sample(tmp_path, 0, show=False) == []
        assert valid_sample(tmp_path / "nowhere", 5, show=False) == []


def test_rejected_rows_are_shown_with_their_sentence(tmp_path: Path) -> None:
    row = {"row": 3, "reason": "address_invalid", "message": "contacts.csv, row 3: 'a…'", "fields": ["email"]}
    pq.write_table(pa.Table.from_pylist([row], schema=REJECTED_SCHEMA), rejected_file(tmp_path))
    assert rejected_sample(tmp_path, 5) == [
        {"row": "3", "reason": "address_invalid", "message": "contacts.csv, row 3: 'a…'"}
    ]


def test_changes_are_described_on_one_line_in_the_order_of_the_catalogue() -> None:
    changes = {"groups": [None, "Newsletter"], "custom.colour": [None, "blue"], "country_code": ["AT", "DE"],
               "email": ["old@example.com", "ann@example.com"]}  # fmt: skip
    assert described_changes(changes, show=False) == (
        "email: o…@….com → a…@….com; country_code: AT → DE; custom.colour: → b…; groups: → Newsletter"
    )


def test_the_plan_is_sampled_and_counted_by_field(store: Store) -> None:
    rows = [
        {"row": 2, "outcome": "updated", "contact_id": 1, "changes": {"email": ["old@example.com", "ann@example.com"]}},
        {
            "row": 3,
            "outcome": "updated",
            "contact_id": 2,
            "changes": {"email": [None, "b@example.com"], "title": [1, 2]},
        },
        {"row": 4, "outcome": "unchanged", "contact_id": 3},
    ]
    with store.engine.begin() as connection:
        import_id = register_import(connection, Path("contacts.csv"), ImportOptions(group="Newsletter"))
        for row in rows:
            connection.execute(insert(plan_row).values(import_id=import_id, **row))
        sample = plan_sample(connection, import_id, 2, show=False)
        update_import(connection, import_id, changed_fields=changed_fields(connection, import_id))
        assert list(field_change_counts(find_import(connection, import_id)).items()) == [("email", 2), ("title", 1)]
    assert sample == [
        {"row": "2", "outcome": "updated", "reason": "", "contact_id": "1", "changes": "email: o…@….com → a…@….com"},
        {"row": "3", "outcome": "updated", "reason": "", "contact_id": "2",
         "changes": "email: → b…@….com; title: 1 → 2"},
    ]  # fmt: skip


class TestPreview:
    def test_csv_shows_the_header_and_masks_every_cell(self, tmp_path: Path) -> None:
        path = tmp_path / "contacts.csv"
        path.write_text('\ufeffuser.Email;user.FirstName\r\nann@example.com;"Ann\nMuster"\r\n', newline="")
        preview = file_preview(path, csv_format(";"), 5, show=False)
        assert preview == "user.Email;user.FirstName\na…@….com;A…r"

    def test_a_first_line_that_is_no_header_is_masked_too(self, tmp_path: Path) -> None:
        path = tmp_path / "contacts.csv"
        path.write_text("ann@example.com,Muster\n")
        assert file_preview(path, csv_format(), 5, show=False) == "a…@….com,M…r"

    def test_xml_shows_tags_and_masks_texts_values_and_what_is_hidden(self, tmp_path: Path) -> None:
        path = tmp_path / "contacts.xml"
        path.write_text(
            '<?xml version="1.0"?>\n<userdata><!-- Ann Muster -->\n<user login="ann@example.com"><email>ann@example.com'
            '</email><lastname><![CDATA[Muster]]></lastname><namedattr name="colour">blue</namedattr></user>\n'
        )
        preview = file_preview(path, xml_format(), 5, show=False)
        assert not [secret for secret in SECRETS if secret in preview]
        assert "<email>a…@….com</email>" in preview and '<namedattr name="colour">b…</namedattr>' in preview

    def test_a_file_of_one_long_line_is_cut(self, tmp_path: Path) -> None:
        path = tmp_path / "contacts.xml"
        path.write_text("<userdata>" + "<user><email>ann@example.com</email></user>" * 10_000)
        preview = file_preview(path, xml_format(), 5, show=False)
        assert len(preview) < 70_000 and "ann" not in preview

    def test_only_the_first_lines_are_shown(self, tmp_path: Path) -> None:
        path = tmp_path / "contacts.csv"
        path.write_text("user.Email\n" + "ann@example.com\n" * 100)
        assert len(file_preview(path, csv_format(), 3, show=False).splitlines()) == 3

    def test_a_setting_shows_it_as_it_is(self, tmp_path: Path) -> None:
        path = tmp_path / "contacts.csv"
        path.write_text("user.Email\nann@example.com\n")
        assert file_preview(path, csv_format(), 5, show=True) == "user.Email\nann@example.com\n"
