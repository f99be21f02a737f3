"""R22: a group has a name, compared regardless of case, and every import names one that exists."""

from __future__ import annotations

import pytest

from engage_etl.errors import FileError, FileErrorCode, GroupExists, GroupUnknown, UsageError
from engage_etl.store.engine import Store
from engage_etl.store.groups import create_group, list_groups, named_group, require_group
from engage_etl_tests.importing import GROUP, Importing


def create(store: Store, *names: str) -> None:
    with store.engine.begin() as connection:
        for name in names:
            create_group(connection, name)


def names(store: Store) -> list[str]:
    with store.engine.connect() as connection:
        return [group.name for group in list_groups(connection)]


def test_r22_groups_are_listed_by_name(store: Store) -> None:
    create(store, "b", "a", "Käufer 2024")
    assert set(names(store)) == {"a", "b", "Käufer 2024"}


@pytest.mark.parametrize(("first", "second"), [("News", "news"), ("Käufer", "KÄUFER"), ("ΣΑΣ", "σας"), ("a", "a")])
def test_r22_names_compare_regardless_of_case(store: Store, first: str, second: str) -> None:
    create(store, first)
    with pytest.raises(GroupExists, match=second):
        create(store, second)
    assert names(store) == [first]


def test_space_around_a_name_makes_no_other_group(store: Store) -> None:
    create(store, " G2 ")
    with pytest.raises(GroupExists, match="There is a group 'g2' already"):
        create(store, "g2 ")
    assert names(store) == ["G2"]
    with store.engine.connect() as connection:
        assert require_group(connection, "g2  ", file="contacts.csv")[1] == "G2"


def test_a_command_that_names_no_group_is_told_the_nearest(store: Store) -> None:
    create(store, "Newsletter", "Customers")
    with store.engine.connect() as connection:
        with pytest.raises(GroupUnknown, match=r"no group 'Newslettr'.*Did you mean 'Newsletter'\?"):
            named_group(connection, "Newslettr")
        with pytest.raises(GroupUnknown, match=r"names those there are\.$"):
            named_group(connection, "zzz")


def test_r22_a_name_that_is_taken_does_not_break_the_transaction(store: Store) -> None:
    with store.engine.begin() as connection:
        create_group(connection, "a")
        with pytest.raises(GroupExists):
            create_group(connection, "A")
        create_group(connection, "b")
    assert names(store) == ["a", "b"]


@pytest.mark.parametrize("name", ["", " ", "\t\n"])
def test_a_group_needs_a_name(store: Store, name: str) -> None:
    with pytest.raises(UsageError, match="not blank"):
        create(store, name)


def test_r22_an_import_finds_its_group_in_any_case(store: Store) -> None:
    create(store, "Newsletter")
    with store.engine.connect() as connection:
        _, name = require_group(connection, "NEWSLETTER", file="contacts.csv")
    assert name == "Newsletter"


def test_r22_a_group_that_does_not_exist(store: Store) -> None:
    with store.engine.connect() as connection, pytest.raises(FileError) as raised:
        require_group(connection, "Newslettr", file="contacts.csv")
    assert raised.value.code is FileErrorCode.GROUP_UNKNOWN
    assert "contacts.csv" in str(raised.value) and "'Newslettr'" in str(raised.value)


def test_r20_members_are_counted(importing: Importing) -> None:
    importing("user.Identifier,user.Email\n1,a@example.com\n2,b@example.com\n")
    with importing.store.engine.connect() as connection:
        assert [(group.name, group.members) for group in list_groups(connection)] == [(GROUP, 2)]
