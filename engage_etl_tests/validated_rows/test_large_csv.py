"""R24: very large cells, very many columns, very long lines: a clear outcome for each."""

from __future__ import annotations

from engage_etl_tests.importing import Importing, as_csv

SEED = "user.Email,user.Identifier\na@x.org,1\n"


def test_a_cell_of_ten_megabytes_is_a_value_that_does_not_fit(importing: Importing) -> None:
    importing.seed(SEED)
    entry = importing(f"user.Identifier,user.FirstName\n1,{'x' * 10_000_000}\n2,Bob\n", max_rejected="100%")
    assert importing.rows(entry) == [(2, "rejected", "value_invalid"), (3, "skipped", "no_standard_identifier")]
    assert len(importing.messages(entry)[2]) < 500


def test_a_cell_past_the_limit_is_no_row(importing: Importing) -> None:
    importing.seed(SEED)
    entry = importing(f'user.Identifier,user.FirstName\n1,"{"x" * 17_000_000}"\n1,Bob\n', max_rejected="100%")
    assert importing.rows(entry) == [(2, "rejected", "row_malformed"), (3, "updated", None)]
    assert "ENGAGE_MAX_CELL_BYTES" in importing.messages(entry)[2]


def test_two_thousand_columns(importing: Importing) -> None:
    importing.seed(SEED)
    names = [f"user.CustomAttribute.c{number}" for number in range(2000)]
    rows = ("1", *(str(number) for number in range(2000)))
    entry = importing(as_csv(("user.Identifier", *names), rows, rows[:-1]), max_rejected="100%")
    assert importing.rows(entry) == [(2, "updated", None), (3, "rejected", "row_malformed")]
    assert "2000 cells and the header has 2001" in importing.messages(entry)[3]
    (found,) = importing.contacts()
    assert found["custom"] == {f"c{number}": str(number) for number in range(2000)}
