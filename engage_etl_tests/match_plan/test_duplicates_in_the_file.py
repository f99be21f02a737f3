"""R10: several valid rows with one match key."""

from __future__ import annotations

import pytest

from engage_etl.store.engine import Store, open_store
from engage_etl_tests.importing import Importing

FILE = "user.Identifier,user.Email\n1,a@x.org\n2,b@x.org\n1,c@x.org\n1,not-an-address\n1,d@x.org\n"


def test_r10_the_last_valid_row_counts_and_the_others_name_it(importing: Importing) -> None:
    entry = importing(FILE)
    assert importing.rows(entry) == [
        (2, "skipped", "superseded"),
        (3, "created", None),
        (4, "skipped", "superseded"),
        (5, "rejected", "address_invalid"),
        (6, "created", None),
    ]
    assert "replaced by row 6" in importing.messages(entry)[2]


def test_r10_all_are_rejected_on_request(importing: Importing) -> None:
    entry = importing(FILE, duplicates="reject")
    assert importing.rows(entry) == [
        (2, "rejected", "duplicate_in_file"),
        (3, "created", None),
        (4, "rejected", "duplicate_in_file"),
        (5, "rejected", "address_invalid"),
        (6, "rejected", "duplicate_in_file"),
    ]


def test_r10_a_last_row_that_is_invalid_takes_no_part(importing: Importing) -> None:
    entry = importing("user.Identifier,user.Email\n1,a@x.org\n1,not-an-address\n")
    assert importing.rows(entry) == [(2, "created", None), (3, "rejected", "address_invalid")]


@pytest.mark.parametrize("chunk_rows", [1, 2, 3, 1000])
def test_r10_does_not_depend_on_the_size_of_chunks(
    store: Store, tmp_path_factory: pytest.TempPathFactory, chunk_rows: int
) -> None:
    settings = store.settings.model_copy(update={"chunk_rows": chunk_rows})
    with open_store(settings) as opened:
        importing = Importing.prepare(opened, tmp_path_factory.mktemp("chunks") / "files")
        entry = importing(FILE)
        assert [outcome for _, outcome, _ in importing.rows(entry)] == [
            "skipped",
            "created",
            "skipped",
            "rejected",
            "created",
        ]


def test_r10_addresses_are_one_key_regardless_of_case(importing: Importing) -> None:
    entry = importing("user.Email,user.FirstName\nann@x.org,A\nANN@x.org,B\n", use_external_identifier=False)
    assert importing.rows(entry) == [(2, "skipped", "superseded"), (3, "created", None)]
