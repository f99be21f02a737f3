"""R36: reverts against the contact-by-contact reference, in every order, among other imports and foreign writers."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hypothesis import assume, given, note, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, update
from sqlalchemy.dialects.postgresql import insert as insert_or_keep
from sqlalchemy.exc import IntegrityError

from engage_etl.applied_updates.revert import Reverted, previewed_revert
from engage_etl.stage_run import revert_and_finish
from engage_etl.store.imports import Import
from engage_etl.store.tables import contact, custom_attribute, membership
from engage_etl_tests.applied_updates.revert_reference import Picture, picture, reverted
from engage_etl_tests.importing import Importing, as_csv
from engage_etl_tests.match_plan import reference
from engage_etl_tests.match_plan.test_plan_equals_reference import HEADERS, VALUES, fill, stores

FREE = {"colour": "user.CustomAttribute.Colour", "shop": "member.Shop"}
FREE_VALUES = {"colour": ["red", "blue"], "shop": ["Ulm", "Bonn"]}
ALL_HEADERS, ALL_VALUES = HEADERS | FREE, VALUES | FREE_VALUES
QUICK = settings(max_examples=20)
Row = dict[str, str]


@dataclass(frozen=True)
class File:
    """A file to import. key: what it is matched on; columns: those that it has."""

    key: str
    columns: tuple[str, ...]
    mode: str
    rule: str
    rows: list[Row]

    def content(self) -> str:
        names = [self.key, *(name for name in self.columns if name != self.key)]
        return as_csv(
            tuple(ALL_HEADERS[name] for name in names), *(tuple(r[name] for name in names) for r in self.rows)
        )


@dataclass(frozen=True)
class Write:
    """A foreign writer: sets a field, deletes a contact, ends a membership or unsubscribes. which: of the contacts."""

    kind: str
    which: int
    value: str


@dataclass(frozen=True)
class Undo:
    """A revert of one of the imports and reverts so far."""

    which: int


@dataclass(frozen=True)
class Done:
    """Something that was done. import_id: None of a foreign writer; touched: contacts whose version it raised."""

    import_id: str | None
    before: Picture
    after: Picture
    touched: set[int]


def some_row() -> st.SearchStrategy[Row]:
    return st.fixed_dictionaries({name: st.sampled_from(["", *values]) for name, values in ALL_VALUES.items()})


@st.composite
def files(draw: st.DrawFn) -> File:
    usual = st.just("add-and-update")
    return File(
        key=draw(st.sampled_from(["identifier", "identifier", "email"])),
        columns=tuple(draw(st.sets(st.sampled_from(list(ALL_HEADERS)), min_size=1))),
        mode=draw(usual | st.sampled_from(list(reference.TAKEN))),
        rule=draw(st.sampled_from(["if-new-not-blank", "always", "if-stored-blank"])),
        rows=draw(st.lists(some_row(), min_size=1, max_size=6)),
    )


def writes() -> st.SearchStrategy[Write]:
    kinds = ["first_name", "email", "email", "delete", "leave", "unsubscribe", "shop"]
    return st.builds(Write, st.sampled_from(kinds), st.integers(0, 9), st.sampled_from(VALUES["email"]))


def begin(importing: Importing, contacts: list[reference.Contact]) -> None:
    """Fill the store; all attributes are known, so that they have one name in all pictures."""
    fill(importing, contacts)
    known = [("custom", "colour", "Colour"), ("member", "shop", "Shop")]
    rows = [{"scope": scope, "name_key": key, "name": name, "type": "string"} for scope, key, name in known]
    with importing.store.engine.begin() as connection:
        connection.execute(insert_or_keep(custom_attribute).values(rows).on_conflict_do_nothing())


def run_import(importing: Importing, file: File) -> Import:
    note(file.content())
    return importing(
        file.content(),
        use_external_identifier=file.key == "identifier",
        import_mode=file.mode,
        update_rule=file.rule,
        max_rejected="100%",
    )


def write(importing: Importing, done: Write) -> None:
    """What a foreign program does; an address that is taken already is refused by the store."""
    ids = [found["contact_id"] for found in importing.contacts()]
    if not ids:
        return
    is_it, is_member = (table.c.contact_id == ids[done.which % len(ids)] for table in (contact, membership))
    forms = {"email": done.value, "email_key": done.value.lower()}
    statements: dict[str, Any] = {
        "first_name": update(contact).where(is_it).values(first_name=done.value),
        "email": update(contact).where(is_it).values(**forms),
        "delete": delete(contact).where(is_it),
        "leave": delete(membership).where(is_member),
        "unsubscribe": update(membership).where(is_member).values(unsubscribed_at=func.clock_timestamp()),
        "shop": update(membership).where(is_member).values(attributes={"shop": "Köln"}),
    }
    with suppress(IntegrityError), importing.store.engine.begin() as connection:
        connection.execute(statements[done.kind])


def is_undone(importing: Importing, import_id: str | None) -> bool:
    if import_id is None:
        return False
    entry = importing.entry(import_id)
    return entry.status == "reverted" or (entry.reverts is not None and entry.status == "applied")


def check_revert(importing: Importing, past: list[Done], which: int) -> Import:
    """Revert one of the imports, and compare what comes of it, and of its dry run, with the reference."""
    undone = past[which]
    assert undone.import_id is not None
    touched = {
        contact_id
        for later in past[which + 1 :]
        if not is_undone(importing, later.import_id)
        for contact_id in later.touched
    }
    now, _ = picture(importing)
    expected = reverted(undone.before, undone.after, now, touched)
    counts = Reverted(expected.restored, expected.kept, expected.failed)
    with previewed_revert(importing.store, undone.import_id) as (previewed, details):
        assert previewed == counts
        assert len(list(details)) == counts.kept + counts.failed
    assert picture(importing)[0] == now
    entry = revert_and_finish(importing.store, undone.import_id)
    assert Reverted.of(entry) == counts
    assert picture(importing)[0] == expected.contacts
    assert importing.entry(undone.import_id).status == "reverted"
    return entry


def do(importing: Importing, past: list[Done], step: File | Write | Undo) -> None:
    before, versions = picture(importing)
    import_id: str | None = None
    if isinstance(step, File):
        import_id = run_import(importing, step).import_id
    elif isinstance(step, Write):
        write(importing, step)
    else:
        open_ = [
            place
            for place, done in enumerate(past)
            if done.import_id is not None and importing.entry(done.import_id).status == "applied"
        ]
        open_ = [place for place in open_ if not _is_superseded(importing, past[place].import_id)]
        if not open_:
            return
        import_id = check_revert(importing, past, open_[step.which % len(open_)]).import_id
    after, versions_after = picture(importing)
    touched = {number for number in after.keys() | before.keys() if versions_after.get(number) != versions.get(number)}
    past.append(Done(import_id, before, after, touched))


def _is_superseded(importing: Importing, import_id: str | None) -> bool:
    """Whether what a revert undid has been reverted again by another one, so that it cannot be reverted itself."""
    entry, status = importing.entry(str(import_id)), "reverted"
    while entry.reverts is not None:
        entry = importing.entry(entry.reverts)
        if entry.status != status:
            return True
        status = "applied" if status == "reverted" else "reverted"
    return False


def with_addresses(contacts: list[reference.Contact]) -> list[reference.Contact]:
    return [found for found in contacts if any(name in found.values for name in reference.ADDRESSES)]


@given(contacts=stores(), file=files())
@QUICK
def test_r36_a_revert_right_away_restores_the_store(
    importing: Importing, contacts: list[reference.Contact], file: File
) -> None:
    begin(importing, with_addresses(contacts))
    before, _ = picture(importing)
    entry = run_import(importing, file)
    changed, _ = picture(importing)
    revert = revert_and_finish(importing.store, entry.import_id)
    assert picture(importing)[0] == before
    assert (revert.kept, revert.failed) == (0, 0)
    again = revert_and_finish(importing.store, entry.import_id)
    assert again == revert
    # And the revert of the revert brings everything back.
    brought_back = revert_and_finish(importing.store, revert.import_id)
    assert picture(importing)[0] == changed
    assert (brought_back.restored, brought_back.kept, brought_back.failed) == (revert.restored, 0, 0)
    assert importing.entry(entry.import_id).status == "applied"


@given(contacts=stores(), steps=st.lists(files() | writes() | st.builds(Undo, st.integers(0, 9)), max_size=6))
@QUICK
def test_r36_reverts_in_any_order_equal_the_reference(
    importing: Importing, contacts: list[reference.Contact], steps: list[File | Write | Undo]
) -> None:
    assume(any(isinstance(step, File) for step in steps))
    begin(importing, contacts)
    past: list[Done] = []
    for step in [*steps, Undo(0), Undo(1), Undo(0)]:
        do(importing, past, step)


@given(contacts=stores(), older=files(), newer=files(), is_newer_first=st.booleans())
@QUICK
def test_r36_two_imports_in_either_order(
    importing: Importing, contacts: list[reference.Contact], older: File, newer: File, is_newer_first: bool
) -> None:
    begin(importing, with_addresses(contacts))
    before, _ = picture(importing)
    past: list[Done] = []
    do(importing, past, older)
    do(importing, past, newer)
    for which in (1, 0) if is_newer_first else (0, 1):
        check_revert(importing, past, which)
    if is_newer_first:
        assert picture(importing)[0] == before
