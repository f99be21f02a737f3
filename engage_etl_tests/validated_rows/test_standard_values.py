"""R16, R33: the values of standard attributes, good and bad, row by row of the table."""

from __future__ import annotations

from pathlib import Path

import pytest

from engage_etl_tests.validated_rows.checking import check_column

GOOD = {
    "user.FirstName": ["Ann", " Ann ", "李", "x" * 2000, "a\nb", "😀"],
    "user.LastName": ["Muster", "O'Neil"],
    "user.Nickname": ["Annie"],
    "user.ZipCode": ["01067", "SW1A 1AA", "-"],
    "user.Title": ["1", "2", "-1"],
    "user.DateOfBirth": [
        "1984-02-29", "0001-01-01", "9999-12-31", "1984-02-29T00:00:00", "1984-02-29T23:59:59", "1984-02-29T12:00:00Z",
        "1984-02-29T12:00:00+02:00", "1984-02-29T12:00:00-11:30",
    ],
    "user.PartnerId": ["0", "42", "99999", "00042"],
    "user.ISOCountryCode": ["DE", "DEU", "GB", "USA"],
    "user.ISOLanguageCode": ["de", "en", "zh"],
    "user.TimeZone": ["Europe/Berlin", "UTC", "America/Argentina/Buenos_Aires"],
}  # fmt: skip
BAD = {
    "user.FirstName": ["x" * 2001],
    "user.ZipCode": ["x" * 2001],
    "user.Title": ["0", "3", "01", "1.0", " 1", "Mr", "+1", "١"],
    "user.DateOfBirth": [
        "1983-02-29", "1984-2-9", "29.02.1984", "02/29/1984", "19840229", "1984-02-29 12:00:00", "1984-02-29T12:00",
        "1984-02-29T24:00:00", "1984-02-29T12:00:60", "0000-01-01", "1984-13-01", "1984-W01-1", "1984-02-29T12:00:00.5",
        " 1984-02-29", "1984-02-29T12:00:00+0200", "1984-02-29\n", "١٩٨٤-٠٢-٢٩", "0",
    ],
    "user.PartnerId": ["123456", "-1", "4.2", "a", "٤٢", " 42"],
    "user.ISOCountryCode": ["XX", "D", "Germany", "276", "UK", "DE "],
    "user.ISOLanguageCode": ["deu", "xx", "german", "de-DE", "d"],
    "user.TimeZone": ["Europe/Atlantis", "CET+1", "Berlin", "../etc/passwd", "+02:00", "europe/berlin"],
}  # fmt: skip


@pytest.mark.parametrize("header", GOOD)
def test_r16_good_values(tmp_path: Path, header: str) -> None:
    checked = check_column(tmp_path, header, *GOOD[header])
    assert checked.messages == {}
    assert checked.column(checked.summary.columns[header]) == GOOD[header]


@pytest.mark.parametrize("header", BAD)
def test_r16_bad_values(tmp_path: Path, header: str) -> None:
    checked = check_column(tmp_path, header, *BAD[header])
    assert checked.valid == []
    assert set(checked.reasons.values()) == {"value_invalid"}


def test_r33_country_codes_in_upper_and_language_codes_in_lower_case(tmp_path: Path) -> None:
    country = check_column(tmp_path, "user.ISOCountryCode", "de", "Deu")
    language = check_column(tmp_path, "user.ISOLanguageCode", "DE", "En")
    assert country.column("country_code") == ["DE", "DEU"]
    assert language.column("language_code") == ["de", "en"]
