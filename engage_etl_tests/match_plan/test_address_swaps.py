"""R11: an address is unique, judged on the state after the import, to the fixed point of its rounds."""

from __future__ import annotations

from engage_etl_tests.importing import Importing, as_csv

HEADER = ("user.Identifier", "user.Email")


def seeded(importing: Importing, number: int) -> None:
    importing.seed(as_csv(("user.Email", "user.Identifier"), *((f"c{n}@x.org", str(n)) for n in range(1, number + 1))))


def test_r11_two_contacts_swap_addresses(importing: Importing) -> None:
    seeded(importing, 2)
    entry = importing(as_csv(HEADER, ("1", "c2@x.org"), ("2", "c1@x.org")))
    assert importing.rows(entry) == [(2, "updated", None), (3, "updated", None)]
    assert importing.column("identifier", "email") == [("1", "c2@x.org"), ("2", "c1@x.org")]


def test_r11_a_cycle_of_three(importing: Importing) -> None:
    seeded(importing, 3)
    entry = importing(as_csv(HEADER, ("1", "c2@x.org"), ("2", "c3@x.org"), ("3", "c1@x.org")))
    assert {outcome for _, outcome, _ in importing.rows(entry)} == {"updated"}
    assert importing.column("email") == [("c2@x.org",), ("c3@x.org",), ("c1@x.org",)]


def test_r11_a_chain_that_ends_in_a_free_address(importing: Importing) -> None:
    seeded(importing, 3)
    entry = importing(as_csv(HEADER, ("1", "c2@x.org"), ("2", "c3@x.org"), ("3", "free@x.org")))
    assert {outcome for _, outcome, _ in importing.rows(entry)} == {"updated"}


def test_r11_a_chain_that_ends_in_a_kept_address_is_rejected_back_to_its_beginning(importing: Importing) -> None:
    seeded(importing, 4)
    entry = importing(as_csv(HEADER, ("1", "c2@x.org"), ("2", "c3@x.org"), ("3", "c4@x.org")), max_rejected="100%")
    assert importing.rows(entry) == [(n, "rejected", "address_in_use") for n in (2, 3, 4)]
    assert "belongs to contact 4" in importing.messages(entry)[4]
    assert "stays with contact 3, since row 4 is rejected" in importing.messages(entry)[3]
    assert importing.column("email") == [("c1@x.org",), ("c2@x.org",), ("c3@x.org",), ("c4@x.org",)]


def test_r11_a_long_chain_falls_as_a_whole(importing: Importing) -> None:
    seeded(importing, 300)
    rows = [(str(n), f"c{n + 1}@x.org") for n in range(1, 300)]
    entry = importing(as_csv(HEADER, *rows), max_rejected="100%")
    assert entry.reasons == {"address_in_use": 299}


def test_r11_rows_that_take_one_address_for_different_contacts_are_all_rejected(importing: Importing) -> None:
    seeded(importing, 2)
    entry = importing(as_csv(HEADER, ("1", "new@x.org"), ("2", "NEW@x.org"), ("9", "new@x.org")), max_rejected="100%")
    assert importing.rows(entry) == [(n, "rejected", "address_claimed_twice") for n in (2, 3, 4)]
    assert "is also taken by row" in importing.messages(entry)[2]


def test_r11_a_rejected_row_frees_nothing(importing: Importing) -> None:
    seeded(importing, 2)
    entry = importing(as_csv(HEADER, ("1", "new@x.org"), ("9", "new@x.org"), ("2", "c1@x.org")), max_rejected="100%")
    assert importing.rows(entry) == [
        (2, "rejected", "address_claimed_twice"),
        (3, "rejected", "address_claimed_twice"),
        (4, "rejected", "address_in_use"),
    ]


def test_r11_a_new_contact_takes_over_a_released_address(importing: Importing) -> None:
    seeded(importing, 1)
    entry = importing(as_csv(HEADER, ("9", "c1@x.org"), ("1", "moved@x.org")))
    assert importing.rows(entry) == [(2, "created", None), (3, "updated", None)]
    assert importing.column("identifier", "email") == [("1", "moved@x.org"), ("9", "c1@x.org")]


def test_r11_aliases_and_mobile_numbers_swap_too(importing: Importing) -> None:
    importing.seed("user.FaxNumber,user.MobileNumber,user.Identifier\nalias-a,4911111111,1\nalias-b,4922222222,2\n")
    entry = importing(
        "user.Identifier,user.FaxNumber,user.MobileNumber\n1,alias-b,+4922222222\n2,alias-a,+4911111111\n"
    )
    assert {outcome for _, outcome, _ in importing.rows(entry)} == {"updated"}
    assert importing.column("app_alias", "mobile_number") == [("alias-b", "+4922222222"), ("alias-a", "+4911111111")]


def test_a_swap_of_one_kind_leaves_an_address_of_another_kind_that_is_only_spelled_otherwise(
    importing: Importing,
) -> None:
    importing.seed(
        "user.Email,user.Identifier,user.MobileNumber\nAnn@x.org,1,4911111\nbob@x.org,2,4922222\n",
    )
    entry = importing(
        "user.Identifier,user.Email,user.MobileNumber\n1,ann@x.org,4922222\n2,bob@x.org,4911111\n",
    )
    assert entry.updated == 2
    assert importing.column("email", "mobile_number") == [("ann@x.org", "4922222"), ("bob@x.org", "4911111")]
    again = importing("user.Email,user.FirstName\nANN@X.ORG,Ann\n", use_external_identifier=False)
    assert (again.updated, again.created) == (1, 0)
