"""R13, R16: what is an e-mail address, a mobile number, an alias, and in which form each is compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from engage_etl_tests.validated_rows.checking import check_column, check_csv


@pytest.mark.parametrize(
    "value",
    ["ann@example.com", "Ann.Muster+news@Example.COM", "a@b.de", "müller@example.com", "ann@müller.de", "o'neil@example.org",
     "ann@sub.example.co.uk", "ann@example.test", "ann_1-2@xn--mller-kva.de"],
)  # fmt: skip
def test_r16_e_mail_addresses_are_stored_as_given_and_compared_in_lower_case(tmp_path: Path, value: str) -> None:
    [row] = check_column(tmp_path, "user.Email", value).valid
    assert (row["email"], row["email_key"]) == (value, value.lower())


@pytest.mark.parametrize(
    "value",
    ["ann", "ann@", "@example.com", "ann@example", "ann@@example.com", "ann@exa mple.com", "ann @example.com", "a..b@example.com",
     " ann@example.com", "ann@example.com ", "ann@example.com\n", ".ann@example.com", "ann.@example.com", "ann@-example.com",
     "ann@example..com", "Ann <ann@example.com>", "ann@[127.0.0.1]", "ann@127.0.0.1",
     f"ann@{'a' * 64}.com", f"ann@{'a.' * 126}com", "ann@example.com,bob@example.com", "mailto:ann@example.com"],
)  # fmt: skip
def test_r16_no_e_mail_addresses(tmp_path: Path, value: str) -> None:
    assert check_column(tmp_path, "user.Email", value).reasons == {2: "address_invalid"}


@pytest.mark.parametrize("value", ["4915112345678", "+4915112345678", "15112", "123456789012345"])
def test_r13_mobile_numbers_are_compared_without_a_leading_plus(tmp_path: Path, value: str) -> None:
    [row] = check_column(tmp_path, "user.MobileNumber", value).valid
    assert (row["mobile_number"], row["mobile_key"]) == (value, value.removeprefix("+"))


@pytest.mark.parametrize(
    "value",
    ["00491511234567", "01511234567", "+01511234567", "49 151 1234567", "49-151-1234567", "(49)1511234567", "++491511234567",
     "491511234567+", "4,91511E+12", "４９１５１１２３４５６７", "٤٩١٥١١٢٣٤", "+", "abc", " 491511234567", "491511234567\n"],
)  # fmt: skip
def test_r16_no_mobile_numbers(tmp_path: Path, value: str) -> None:
    assert check_column(tmp_path, "user.MobileNumber", value).reasons == {2: "address_invalid"}


@pytest.mark.parametrize("value", ["app-7f3a", " with spaces ", "+49 30 1", "x" * 2000, "Ä"])
def test_r16_aliases_are_not_validated(tmp_path: Path, value: str) -> None:
    [row] = check_column(tmp_path, "user.FaxNumber", value).valid
    assert row["app_alias"] == value


def test_r16_an_alias_is_not_longer_than_2000_characters(tmp_path: Path) -> None:
    assert check_column(tmp_path, "user.FaxNumber", "x" * 2001).reasons == {2: "address_invalid"}


def test_r13_a_match_key_is_the_comparison_form(tmp_path: Path) -> None:
    text = "user.Email\nANN@Example.COM\n"
    [row] = check_csv(tmp_path, text, use_external_identifier=False).valid
    assert (row["email"], row["match_kind"], row["match_key"]) == ("ANN@Example.COM", "email", "ann@example.com")
