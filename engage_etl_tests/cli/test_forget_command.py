"""``engage-etl contacts forget``: it asks, it refuses when it is not clear who is meant, and it says what it did."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engage_etl.settings import Settings
from engage_etl_tests.cli.commands import engage_etl
from engage_etl_tests.importing import Importing
from engage_etl_tests.own_dagster import own_dagster

PEOPLE = "user.Email,user.Identifier\nann@x.org,twin-01\nben@x.org,twin-01\ncem@x.org,cem-001\n"


@pytest.fixture
def own(importing: Importing, settings: Settings) -> Iterator[Settings]:
    importing.seed(PEOPLE)
    with own_dagster(settings) as with_own:
        yield with_own


def test_one_person_is_erased(own: Settings, importing: Importing) -> None:
    foretold = engage_etl(own, "contacts", "forget", "--email", "CEM@x.org", "--dry-run", "--json")
    assert (foretold.code, foretold.json["dry_run"], foretold.json["erasure"]) == (0, True, None)
    done = engage_etl(own, "contacts", "forget", "--email", "CEM@x.org", "--yes", "--by", "Ann", "--json").json
    assert done["erased"] == foretold.json["erased"] and done["removed_files"] == foretold.json["removed_files"]
    assert (done["erased"]["contacts"], done["erasure"], len(done["removed_files"])) == (1, 1, 1)
    assert importing.column("email") == [("ann@x.org",), ("ben@x.org",)]
    again = engage_etl(own, "contacts", "forget", "--id", done["contact_id"], "--yes")
    assert again.code == 2 and "was erased on" in again.err and "(erasure 1)" in again.err


def test_several_contacts_are_named_and_nobody_is_erased(own: Settings, importing: Importing) -> None:
    ids = [one["contact_id"] for one in importing.contacts()]
    ended = engage_etl(own, "contacts", "forget", "--identifier", "twin-01", "--yes")
    assert ended.code == 2 and f"(ids {ids[0]}, {ids[1]}), and nobody was erased; name one with --id." in ended.err
    nobody = engage_etl(own, "contacts", "forget", "--identifier", "nobody", "--yes", "--json")
    assert (nobody.code, nobody.json["error"]["code"]) == (2, "usage_error")
    assert len(importing.contacts()) == 3


def test_it_asks_and_does_nothing_where_nobody_answers(own: Settings, importing: Importing) -> None:
    ended = engage_etl(own, "contacts", "forget", "--email", "cem@x.org")
    assert ended.code == 2 and "Add --yes to do it, or --dry-run to see what it is." in ended.err
    assert len(importing.contacts()) == 3


def test_what_was_done_is_told(own: Settings) -> None:
    told = engage_etl(own, "contacts", "forget", "--email", "cem@x.org", "--yes")
    assert told.code == 0 and "removed as a whole" in told.out and "/raw" in told.out
    assert "is erased (erasure 1)." in told.err
