"""What lets two contacts have the same address is found: a wrong comparison form, or a unique index that is gone (R13)."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from engage_etl.marts.store_checks import StoreFinding, shared_addresses
from engage_etl_tests.importing import Importing

SEED = """user.Email,user.Identifier,user.MobileNumber
Ann@Example.com,1,+4915112345678
bob@example.com,2,4915112345679
ÄRGER@example.com,3,
,4,4915112345680
"""
MOST = 2


@pytest.fixture
def filled(importing: Importing) -> Importing:
    importing(SEED)
    return importing


def looked(importing: Importing) -> StoreFinding:
    with importing.store.engine.connect() as connection:
        return shared_addresses(connection, MOST)


def do(importing: Importing, statement: str) -> None:
    with importing.store.engine.begin() as connection:
        connection.execute(text(statement))


def test_what_the_importer_writes_is_right(filled: Importing) -> None:
    found = looked(filled)
    assert found.is_good, found
    assert (found.numbers["contacts"], found.sentence, found.examples) == (4, "Every address is unique.", [])


@pytest.mark.parametrize(
    ("statement", "number"),
    [
        ("UPDATE engage.contact SET email = 'BOB@example.com' WHERE identifier = '1'", "wrong_email_forms"),
        ("UPDATE engage.contact SET mobile_number = '+4915112345679' WHERE identifier = '1'", "wrong_mobile_forms"),
        ("DROP INDEX engage.uq_contact_email_key", "unique_indexes_lacking"),
    ],
)
def test_what_other_programs_leave_is_found(filled: Importing, statement: str, number: str) -> None:
    do(filled, statement)
    found = looked(filled)
    assert not found.is_good
    assert found.numbers[number] == 1
    assert found.sentence.startswith("Two contacts may have the same address: 1 ")


def test_examples_are_few_and_name_contacts_only(filled: Importing) -> None:
    do(filled, "UPDATE engage.contact SET email = 'x' || email WHERE email IS NOT NULL")
    found = looked(filled)
    assert found.numbers["wrong_email_forms"] == 2, "of addresses that are not ASCII the server does not know the form"
    first, second = (contact["contact_id"] for contact in filled.contacts()[:2])
    assert found.examples == [{"contact": str(first)}, {"contact": str(second)}]
