"""R18, ``invalid-values: drop``: the value goes, the row stays, and both are told."""

from __future__ import annotations

from engage_etl_tests.importing import Importing

SEED = "user.Email,user.Identifier,user.Title,user.ZipCode\na@x.org,1,2,01067\n"
ROWS = (
    "user.Identifier,user.Email,user.Title,user.ISOCountryCode,user.ZipCode\n1,a@x.org,99,XX,80331\n2,b@x.org,1,DE,\n"
)


def test_the_row_is_kept_without_the_value(importing: Importing) -> None:
    importing.seed(SEED)
    entry = importing(ROWS, invalid_values="drop")
    assert importing.rows(entry) == [(2, "updated", None), (3, "created", None)]
    assert importing.changes(entry)[2] == {"zip_code": ["01067", "80331"]}
    message = importing.messages(entry)[2]
    assert message.startswith('contacts.csv, row 2: user.Title is "99", expected 1 (Mr), 2 (Ms/Mrs) or -1 (unknown)')
    assert 'user.ISOCountryCode is "XX"' in message
    assert "dropped" in message
    assert entry.warnings == [
        "contacts.csv: 1 value of user.ISOCountryCode did not fit and was dropped; the messages of the rows say which.",
        "contacts.csv: 1 value of user.Title did not fit and was dropped; the messages of the rows say which.",
    ]


def test_a_dropped_value_is_not_a_blank_one(importing: Importing) -> None:
    """With ``always`` a blank cell would clear what is stored (R19)."""
    importing.seed(SEED)
    importing(ROWS, invalid_values="drop", update_rule="always")
    assert importing.column("title")[0] == (2,)


def test_addresses_and_identifiers_still_reject_and_name_all_faults(importing: Importing) -> None:
    importing.seed(SEED)
    entry = importing("user.Identifier,user.Email,user.Title\n1,nonsense,99\n2 2,b@x.org,98\n", invalid_values="drop")
    assert importing.rows(entry) == [(2, "rejected", "address_invalid"), (3, "rejected", "identifier_malformed")]
    assert "user.Title" in importing.messages(entry)[2]
    assert entry.warnings == []


def test_reject_is_the_default(importing: Importing) -> None:
    importing.seed(SEED)
    entry = importing(ROWS)
    assert importing.rows(entry) == [(2, "rejected", "value_invalid"), (3, "created", None)]
