"""The set-based plan against the row-by-row reference, on small alphabets, so that everything collides (R1-R13, R19-R21)."""

from __future__ import annotations

from typing import Any

from hypothesis import given, note, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, insert

from engage_etl.store.groups import require_group
from engage_etl.store.tables import contact, membership
from engage_etl_tests.importing import GROUP, Importing, as_csv
from engage_etl_tests.match_plan import reference

HEADERS = {
    "identifier": "user.Identifier",
    "email": "user.Email",
    "mobile_number": "user.MobileNumber",
    "app_alias": "user.FaxNumber",
    "first_name": "user.FirstName",
}
FIRST_ID = 1_000_000
"""Of the contacts that a test makes; the sequence of the store stays far below."""

VALUES = {
    "identifier": ["1", "2", "3", "01"],
    "email": ["a@x.org", "A@x.org", "b@x.org", "c@x.org", "d@x.org"],
    "mobile_number": ["4911111", "+4911111", "4922222"],
    "app_alias": ["app-1", "app-2"],
    "first_name": ["Ann", "ann"],
}


def some_values(blank: str | None) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({name: st.sampled_from([blank, *values]) for name, values in VALUES.items()})


@st.composite
def stores(draw: st.DrawFn) -> list[reference.Contact]:
    """Contacts whose addresses are unique, and whose identifiers need not be."""
    held: set[tuple[str, str]] = set()
    contacts = []
    for number in range(FIRST_ID, FIRST_ID + draw(st.integers(0, 5))):
        values = {name: value for name, value in draw(some_values(None)).items() if value is not None}
        for name in reference.ADDRESSES:
            if name in values and (name, reference.compared(name, values[name])) in held:
                del values[name]
        held |= {(name, reference.compared(name, values[name])) for name in reference.ADDRESSES if name in values}
        contacts.append(reference.Contact(number, values, *(draw(st.booleans()) for _ in range(3))))
    return contacts


def fill(importing: Importing, contacts: list[reference.Contact]) -> None:
    with importing.store.engine.begin() as connection:
        connection.execute(delete(contact))
        for found in contacts:
            keys = {"email_key": "email", "mobile_key": "mobile_number"}
            forms = {
                key: reference.compared(name, found.values[name]) for key, name in keys.items() if name in found.values
            }
            moment = func.now() if found.is_deactivated else None
            values = {"contact_id": found.contact_id, "deactivated_at": moment, **found.values, **forms}
            connection.execute(insert(contact).values(values))
            if found.is_member:
                group_id, _ = require_group(connection, GROUP, file="")
                moment = func.now() if found.is_unsubscribed else None
                member = {"group_id": group_id, "contact_id": found.contact_id, "unsubscribed_at": moment}
                connection.execute(insert(membership).values(member))


@st.composite
def ways(draw: st.DrawFn) -> reference.Given:
    """How an import is asked for."""
    usual = st.just("add-and-update")
    switches = [draw(st.booleans()) for _ in range(4)]
    return reference.Given(
        key=draw(st.sampled_from(["identifier", "identifier", "email", "mobile_number"])),
        group=GROUP,
        mode=draw(usual | st.sampled_from(list(reference.TAKEN))),
        rule=draw(st.sampled_from(["if-new-not-blank", "always", "if-stored-blank"])),
        rejects_duplicates=switches[0],
        links=switches[1],
        ignores_unsubscribed=switches[2],
        ignores_deactivated=switches[3],
    )


def options_of(given_: reference.Given) -> dict[str, Any]:
    """The options of an import that is asked for in this way."""
    return {
        "use_external_identifier": given_.key == "identifier",
        "import_mode": given_.mode,
        "update_rule": given_.rule,
        "duplicates": "reject" if given_.rejects_duplicates else "last",
        "link_unidentified": given_.links,
        "ignore_unsubscribed": given_.ignores_unsubscribed,
        "ignore_deactivated": given_.ignores_deactivated,
    }


def text_of(rows: list[dict[str, str]], key: str) -> str:
    """The file that has these rows, with the column that they are matched on first."""
    columns = [key, *(name for name in HEADERS if name != key)]
    return as_csv(tuple(HEADERS[name] for name in columns), *(tuple(row[name] for name in columns) for row in rows))


@given(contacts=stores(), rows=st.lists(some_values(""), min_size=1, max_size=7), given_=ways())
@settings(max_examples=200)
def test_plan_and_store_equal_the_reference(
    importing: Importing, contacts: list[reference.Contact], rows: list[dict[str, str]], given_: reference.Given
) -> None:
    fill(importing, contacts)
    content = text_of(rows, given_.key)
    note(content)
    # An import of only bad rows would be stopped by the default brake, which is not what is judged here.
    import_id = importing.register(content, max_rejected="100%", **options_of(given_))
    entry = importing.run(import_id)
    numbered = dict(enumerate(rows, 2))
    expected = reference.plan(contacts, numbered, given_)
    planned = {row.row: row for row in importing.plan_rows(entry)}
    assert {number: (row.outcome, row.reason, row.changes or {}) for number, row in planned.items()} == {
        number: (row.outcome, row.reason, row.changes) for number, row in expected.items()
    }
    found = [
        ({name: row[name] for name in VALUES if row[name] is not None}, bool(row["groups"]))
        for row in importing.contacts()
    ]
    leaving = reference.leavers(contacts, numbered, given_)
    assert entry.left_group == len(leaving)
    assert sorted(found, key=str_of) == sorted(reference.after(contacts, expected, leaving), key=str_of)


def str_of(found: tuple[dict[str, str], bool]) -> str:
    return str((sorted(found[0].items()), found[1]))
