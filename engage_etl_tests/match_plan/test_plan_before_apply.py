"""R22, R29, R34, R38: what the plan promises before anything is written."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, event, func, select, text

from engage_etl.errors import BrakeStopped, FileError
from engage_etl.store.tables import custom_attribute, plan_row
from engage_etl_tests.importing import STAGES, Importing, as_csv

HEADER = ("user.Identifier", "user.Email")


def test_r22_an_unknown_group_stops_before_anything_is_read(importing: Importing) -> None:
    import_id = importing.register("anything, even no header", group="Nowhere")
    with pytest.raises(FileError, match="there is no group 'Nowhere'"):
        importing.run(import_id)
    entry = importing.entry(import_id)
    assert (entry.status, entry.error_code, entry.rows) == ("failed", "group_unknown", 0)
    assert not (importing.store.settings.import_dir(import_id) / "raw").exists()


def test_r22_group_names_compare_regardless_of_case(importing: Importing) -> None:
    assert importing("user.Identifier,user.Email\n1,a@x.org\n", group="NEWSLETTER").status == "applied"
    assert importing.column("groups") == [(["Newsletter"],)]


def test_r29_a_plan_changes_no_contact_and_uses_up_no_ids(importing: Importing) -> None:
    importing.seed(as_csv(("user.Email", "user.Identifier"), ("a@x.org", "1")))
    before, ids = importing.contacts(), ids_used(importing)
    entry = importing.plan("user.Identifier,user.Email,user.CustomAttribute.colour\n1,b@x.org,red\n2,c@x.org,\n")
    assert importing.changes(entry)[2] == {"email": ["a@x.org", "b@x.org"], "custom.colour": [None, "red"]}
    assert importing.contacts() == before
    assert ids_used(importing) == ids
    with importing.store.engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(custom_attribute)) == 0


def test_r29_planning_blocks_no_writer(importing: Importing) -> None:
    importing.seed(as_csv(("user.Email", "user.Identifier"), ("a@x.org", "1")))
    with importing.store.engine.connect() as writer, writer.begin():
        writer.execute(text("SET LOCAL lock_timeout = '1s'"))
        writer.execute(text("UPDATE engage.contact SET first_name = 'Held'"))
        entry = importing.plan(as_csv(HEADER, ("1", "b@x.org")))
        writer.execute(text("UPDATE engage.contact SET last_name = 'Held'"))
    assert entry.status == "planned"


HELD = {
    "rows": "SELECT * FROM engage.contact, engage.membership FOR UPDATE",
    "contacts": "LOCK TABLE engage.contact IN SHARE ROW EXCLUSIVE MODE",
    "memberships": "LOCK TABLE engage.membership IN SHARE ROW EXCLUSIVE MODE",
    "all that an apply holds": "LOCK TABLE engage.contact, engage.membership, engage.custom_attribute "
    "IN EXCLUSIVE MODE",
    "groups and attributes": "SELECT * FROM engage.contact_group, engage.custom_attribute FOR UPDATE",
}


@pytest.mark.parametrize("name", list(HELD))
def test_r29_planning_waits_for_no_lock_of_others(importing: Importing, name: str) -> None:
    importing.seed("user.Email,user.Identifier,user.CustomAttribute.size\na@x.org,1,L\n")
    give_up_waiting_after(importing, "1s")
    with importing.store.engine.connect() as other:
        other.execute(text(HELD[name]))
        entry = importing.plan("user.Identifier,user.Email,user.CustomAttribute.colour\n1,b@x.org,red\n")
    assert importing.rows(entry) == [(2, "updated", None)]


def test_r29_others_write_and_commit_while_a_plan_is_made(importing: Importing) -> None:
    """At the end of the planning transaction, after all its statements: whatever it locks, it holds now."""
    importing.seed(as_csv(("user.Email", "user.Identifier"), ("a@x.org", "1"), ("b@x.org", "2")))
    import_id = importing.register("user.Identifier,user.Email,user.CustomAttribute.colour\n1,n@x.org,red\n")
    beside: list[int] = []

    def write_beside(planning: Connection) -> None:
        planned = select(func.count()).where(plan_row.c.import_id == import_id)
        if beside or not planning.scalar(planned):
            return
        with importing.store.engine.connect() as other:
            beside.append(other.scalar(planned) or 0)
            other.execute(text("SET LOCAL lock_timeout = '1s'"))
            for statement in WRITES_BESIDE:
                other.execute(text(statement))
            other.commit()

    event.listen(importing.store.engine, "commit", write_beside)
    entry = importing.run(import_id, STAGES[:3])
    event.remove(importing.store.engine, "commit", write_beside)
    assert beside == [0], "the plan was not yet committed when the other writer did"
    assert entry.status == "planned"
    assert importing.column("identifier", "first_name") == [("1", "Held"), ("3", None)]


WRITES_BESIDE = [
    "SELECT * FROM engage.contact, engage.membership FOR UPDATE",
    "UPDATE engage.contact SET first_name = 'Held'",
    "DELETE FROM engage.contact WHERE identifier = '2'",
    "INSERT INTO engage.contact (identifier, email, email_key) VALUES ('3', 'n@x.org', 'n@x.org')",
    "INSERT INTO engage.custom_attribute (name_key, name, type) VALUES ('colour', 'colour', 'string')",
    "UPDATE engage.contact_group SET name = 'News', name_key = 'news'",
    "LOCK TABLE engage.contact, engage.membership, engage.custom_attribute IN EXCLUSIVE MODE",
]


def give_up_waiting_after(importing: Importing, timeout: str) -> None:
    """All connections of the store give up waiting for a lock; without it a test that fails would hang."""
    with importing.store.engine.begin() as connection:
        database = connection.scalar(select(func.current_database()))
        connection.execute(text(f"ALTER DATABASE {database} SET lock_timeout = '{timeout}'"))
    importing.store.engine.dispose()


def test_r29_planning_again_replaces_the_plan_and_gives_the_same(importing: Importing) -> None:
    entry = importing.plan(as_csv(HEADER, ("1", "b@x.org"), ("2", "")))
    again = importing.run(entry.import_id, STAGES[2:3])
    assert again.plan_hash == entry.plan_hash
    assert importing.rows(again) == importing.rows(entry)


def test_plan_hash_differs_for_other_options_and_other_files(importing: Importing) -> None:
    hashes = {
        importing.plan(as_csv(HEADER, ("1", "a@x.org"))).plan_hash,
        importing.plan(as_csv(HEADER, ("1", "b@x.org"))).plan_hash,
        importing.plan(as_csv(HEADER, ("1", "a@x.org")), duplicates="reject").plan_hash,
    }
    assert len(hashes) == 3


@pytest.mark.parametrize(
    ("good", "bad", "max_rejected", "stops"),
    [
        (9, 10, None, True),  # more than half, and at least ten
        (10, 10, None, False),  # exactly half
        (1, 9, None, False),  # less than ten
        (95, 5, "5%", False),  # exactly 5 %: not past it
        (94, 6, "5%", True),
        (10, 3, "3", False),
        (10, 4, "3", True),
        (1, 20, "100%", False),
    ],
)
def test_r34_the_brake_stops_after_the_plan(
    importing: Importing, good: int, bad: int, max_rejected: str | None, stops: bool
) -> None:
    rows = [(str(n), f"c{n}@x.org") for n in range(good)] + [(f"bad{n}", "no-address") for n in range(bad)]
    import_id = importing.register(as_csv(HEADER, *rows), max_rejected=max_rejected)
    if stops:
        with pytest.raises(BrakeStopped, match=f"{bad} of {good + bad} rows"):
            importing.run(import_id)
        assert importing.entry(import_id).status == "stopped"
        with pytest.raises(BrakeStopped):
            importing.run(import_id, STAGES[3:])
        assert importing.contacts() == []
    else:
        importing.run(import_id)
        assert len(importing.contacts()) == good


def test_r38_every_row_has_one_outcome_and_the_counts_add_up(importing: Importing) -> None:
    entry = importing(as_csv(HEADER, ("1", "a@x.org"), ("1", "b@x.org"), ("2", ""), ("", "c@x.org"), ("3", "bad")))
    assert entry.rows == 5 == sum(entry.outcome_counts().values()) == len(importing.plan_rows(entry))
    assert sum(entry.reasons.values()) == entry.skipped + entry.rejected


def test_r27_a_header_without_rows_is_an_import_of_no_rows(importing: Importing) -> None:
    entry = importing(as_csv(HEADER))
    assert (entry.status, entry.rows) == ("applied", 0)


def ids_used(importing: Importing) -> int:
    with importing.store.engine.connect() as connection:
        sequence = func.pg_get_serial_sequence("engage.contact", "contact_id")
        return connection.scalar(select(func.pg_sequence_last_value(sequence))) or 0
