"""``audit.contact_history``: why a contact is as it is, asked with one query by who may only read."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from engage_etl.applied_updates.stage import approve_plan
from engage_etl.store.engine import Store, upgrade_store
from engage_etl.store.groups import create_group
from engage_etl.store.readers import READER
from engage_etl_tests.importing import GROUP, STAGES, Importing
from engage_etl_tests.store.older import set_back

SEED = (
    "user.Email,user.Identifier,user.Title,user.CustomAttribute.Colour\nann@example.com,1,2,red\nbob@example.com,2,,\n"
)
MOVED = "user.Email,user.Identifier,user.Title\nann@example.org,1,1\n"


def history(store: Store, identifier: str) -> list[Any]:
    with store.engine.begin() as connection:
        connection.execute(text(f"SET LOCAL ROLE {READER}"))
        return list(connection.execute(text("SELECT * FROM audit.contact_history(:id)"), {"id": identifier}))


def test_one_row_a_changed_field_oldest_first(importing: Importing) -> None:
    first, second = importing.seed(SEED), importing(MOVED, name="moved.csv")
    found = history(importing.store, "1")
    [ann] = importing.column("contact_id")[:1]
    assert [(one.import_id, one.file, one.row, one.field, one.before, one.after, one.version, one.outcome) for one in found] == [
        (first.import_id, "seed.csv", 2, "custom.Colour", None, "red", 1, "created"),
        (first.import_id, "seed.csv", 2, "email", None, "ann@example.com", 1, "created"),
        (first.import_id, "seed.csv", 2, "groups", None, GROUP, 1, "created"),
        (first.import_id, "seed.csv", 2, "identifier", None, "1", 1, "created"),
        (first.import_id, "seed.csv", 2, "title", None, "2", 1, "created"),
        (second.import_id, "moved.csv", 2, "email", "ann@example.com", "ann@example.org", 2, "updated"),
        (second.import_id, "moved.csv", 2, "title", "2", "1", 2, "updated"),
    ]  # fmt: skip
    assert {(one.contact_id, one.automation, one.group_name) for one in found} == {(*ann, None, GROUP)}
    assert all(one.at is not None for one in found)


def test_identifiers_compare_exactly_and_all_who_hold_one_are_shown(importing: Importing) -> None:
    importing.seed("user.Email,user.Identifier\na@example.com,7\nb@example.com,7\nc@example.com,07\n")
    assert {one.after for one in history(importing.store, "7") if one.field == "email"} == {
        "a@example.com",
        "b@example.com",
    }
    assert history(importing.store, "nobody") == []


def test_a_change_without_a_row_is_shown(importing: Importing) -> None:
    importing.seed(SEED)
    replaced = importing("user.Email,user.Identifier\nann@example.com,1\n", name="replace.csv", import_mode="replace")
    assert [(one.row, one.field, one.before, one.after) for one in history(importing.store, "2")][-1:] == [
        (None, "groups", GROUP, None)
    ]
    assert replaced.left_group == 1


def test_it_is_read_by_the_index_of_each_month(store: Store) -> None:
    """However long history is: nothing is read but the contact and its changes."""
    with store.engine.begin() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        explain = "EXPLAIN SELECT * FROM audit.contact_history('1') WHERE field = 'email'"
        plan = "\n".join(connection.scalars(text(explain)))
    assert "ix_contact_identifier" in plan and "contact_id_idx" in plan
    assert "Seq Scan on contact" not in plan


def test_it_changes_nothing_and_is_asked_with_the_rights_of_who_asks(store: Store) -> None:
    query = "SELECT provolatile, prosecdef FROM pg_proc WHERE proname = 'contact_history'"
    with store.engine.connect() as connection:
        assert [tuple(row) for row in connection.execute(text(query))] == [("s", False)]


def test_r37_it_says_who_approved_the_plan(importing: Importing) -> None:
    importing.seed(SEED)
    waits = importing.plan(MOVED, name="moved.csv", approval="required")
    approve_plan(importing.store, waits.import_id, by="Ann Muster", plan_hash=waits.plan_hash or "")
    importing.run(waits.import_id, STAGES[3:])
    found = {(one.import_id, one.approved_by) for one in history(importing.store, "1")}
    assert {who for _, who in found} == {None, "Ann Muster"} and (waits.import_id, "Ann Muster") in found


FORMER = """
    CREATE FUNCTION audit.contact_history(identifier text) RETURNS TABLE (contact_id bigint)
    LANGUAGE sql STABLE AS 'SELECT contact_id FROM engage.contact WHERE contact.identifier = contact_history.identifier'"""


def test_the_upgrade_keeps_who_may_ask(store: Store) -> None:
    """A function that returns more is another one: it takes the rights of the former along."""
    allowed = "SELECT has_function_privilege('{}', 'audit.contact_history(text)', 'EXECUTE')"
    with store.engine.begin() as connection:
        set_back(connection, "0011")
        connection.execute(text("DROP FUNCTION audit.contact_history(text)"))
        connection.execute(text(FORMER))
        connection.execute(text("REVOKE EXECUTE ON FUNCTION audit.contact_history(text) FROM PUBLIC"))
        connection.execute(text("GRANT EXECUTE ON FUNCTION audit.contact_history(text) TO pg_monitor"))
    upgrade_store(store.settings)
    with store.engine.connect() as connection:
        assert [connection.scalar(text(allowed.format(name))) for name in (READER, "pg_monitor", "pg_read_all_data")] == [
            True, True, False
        ]  # fmt: skip
        assert "approved_by" in connection.execute(text("SELECT * FROM audit.contact_history('1')")).keys()  # noqa: SIM118


def test_the_upgrade_trims_names_of_groups_and_tells_apart_what_would_be_one(store: Store) -> None:
    with store.engine.begin() as connection:
        create_group(connection, "G2")
        for name in ("G2 ", " Alone"):
            insert = "INSERT INTO engage.contact_group (name, name_key) VALUES (:name, lower(:name))"
            connection.execute(text(insert), {"name": name})
        set_back(connection, "0011")
    upgrade_store(store.settings)
    with store.engine.connect() as connection:
        found = connection.execute(text("SELECT name, name_key FROM engage.contact_group ORDER BY group_id")).all()
    assert [tuple(one) for one in found] == [("G2", "g2"), ("G2 (2)", "g2 (2)"), ("Alone", "alone")]
