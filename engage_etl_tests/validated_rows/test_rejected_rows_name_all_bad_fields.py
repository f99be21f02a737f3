"""R18: a row with an invalid value is rejected as a whole, and every bad field is named."""

from __future__ import annotations

from pathlib import Path

from engage_etl_tests.validated_rows.checking import check_csv, check_xml

HEADER = "user.Identifier,user.Email,user.Title,user.DateOfBirth,user.CustomAttribute['Shoe size'],user.FirstName\n"


def test_r18_every_bad_field_with_its_name_value_and_what_was_expected(tmp_path: Path) -> None:
    checked = check_csv(tmp_path, HEADER + "C-1,ann,9,1984-02-30,41,Ann\n")
    [row] = checked.rejected
    assert row["reason"] == "address_invalid"
    assert row["fields"] == ["email", "title", "date_of_birth"]
    message = row["message"]
    assert message.startswith("contacts.csv, row 2: ")
    assert 'user.Email is "a…", expected an address like name@example.com' in message
    assert 'user.Title is "9", expected 1 (Mr), 2 (Ms/Mrs) or -1 (unknown)' in message
    assert 'user.DateOfBirth is "1…0", expected YYYY-MM-DD' in message


def test_r18_the_reason_is_the_first_in_the_order_of_reasons(tmp_path: Path) -> None:
    checked = check_csv(tmp_path, HEADER + "a b,ann,9,,,\n1E+9,ann,9,,,\n3,,9,,,\n,x,9,,,\n")
    assert checked.reasons == {
        2: "identifier_malformed",
        3: "identifier_mangled",
        4: "value_invalid",
        5: "identifier_missing",
    }
    assert [row["fields"][0] for row in checked.rejected] == ["identifier", "identifier", "title", "email"]


def test_r18_elements_are_named_where_the_file_is_xml(tmp_path: Path) -> None:
    users = (
        '<namedattr-definition name="Shoe size" type="number"/>'
        '<user><identifier>1</identifier><title>9</title><namedattr name="SHOE SIZE">big</namedattr></user>'
    )
    [row] = check_xml(tmp_path, users).rejected
    assert row["fields"] == ["title", "custom.Shoe size"]
    assert "title is" in row["message"] and "namedattr Shoe size is" in row["message"]


def test_r18_a_rejected_row_leaves_its_neighbours_alone(tmp_path: Path) -> None:
    lines = "".join(f"{n},,{9 if n % 3 == 0 else 1},,,\n" for n in range(1, 31))
    checked = check_csv(tmp_path, HEADER + lines, chunk_rows=4)
    assert list(checked.reasons) == [row for row in range(2, 32) if (row - 1) % 3 == 0]
    assert checked.column("identifier") == [str(n) for n in range(1, 31) if n % 3]


def test_r18_blank_values_are_never_invalid(tmp_path: Path) -> None:
    [row] = check_csv(tmp_path, HEADER + "1,,,,,\n").valid
    assert (row["email"], row["title"], row["date_of_birth"], row["custom"]) == ("", "", "", '{"shoe size":null}')
