"""``contacts export`` and then ``import`` leaves every row unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from engage_etl.cli.contacts_export import export_contacts
from engage_etl_tests.importing import GROUP, Importing, as_csv

HEADER = (
    "user.Identifier", "user.Email", "user.MobileNumber", "user.FaxNumber", "user.FirstName", "user.LastName",
    "user.Title", "user.DateOfBirth", "user.ZipCode", "user.PartnerId", "user.ISOCountryCode", "user.ISOLanguageCode",
    "user.TimeZone", "user.CustomAttribute['Favourite colour']", "user.CustomAttribute.NULL", "member['Card, number']",
)  # fmt: skip
ROWS = (
    ("007", "Ann@x.org", "+4911111", "app 1", "Ann", 'said "hi"', "-1", "0001-01-01", "01067", "00042", "DE", "de",
     "Europe/Berlin", "grün", "NA", "1;2"),
    ("K-7", "b@x.org", "", "", "Zeile\nzwei", " blank before", "2", "1984-02-29T10:00:00+02:00", "NULL", "", "deu", "EN",
     "", "", "null", ""),
    ("'x", "", "4922222", "=1+1", "\tTab", "ends with quote\"", "", "", "", "", "", "", "", ",", "", "€"),
)  # fmt: skip


@pytest.mark.parametrize("group", [None, GROUP])
def test_every_row_is_unchanged(importing: Importing, tmp_path: Path, group: str | None) -> None:
    first = importing(as_csv(HEADER, *ROWS))
    assert first.created == 3, importing.messages(first)
    file = tmp_path / "export.csv"
    assert export_contacts(importing.store, file, group) == 3
    again = importing(file, update_rule="always")
    assert importing.rows(again) == [(2, "unchanged", None), (3, "unchanged", None), (5, "unchanged", None)]
