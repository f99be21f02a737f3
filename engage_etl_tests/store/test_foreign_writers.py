"""R30, R31: writers other than an import leave a trace, and raise the version of what they change."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, text

from engage_etl.store.engine import Store

NEW = "INSERT INTO engage.contact (email, email_key, identifier) VALUES ('Ann@x.org', 'ann@x.org', '1')"
WRITES = {
    "insert": NEW,
    "update": "UPDATE engage.contact SET first_name = 'Ann'",
    "update of nothing": "UPDATE engage.contact SET first_name = 'Ann' WHERE false",
    "delete": "DELETE FROM engage.contact",
    "truncate": "TRUNCATE engage.contact CASCADE",
    "join": "INSERT INTO engage.membership (group_id, contact_id) VALUES (1, 1)",
    "leave": "DELETE FROM engage.membership",
    "empty a group": "TRUNCATE engage.membership",
}


def seen(connection: Connection) -> bool:
    """Whether this transaction has left its trace."""
    query = "SELECT EXISTS (SELECT FROM engage.store_write WHERE xid = pg_current_xact_id_if_assigned())"
    return bool(connection.scalar(text(query)))


def version(connection: Connection) -> tuple[int, bool]:
    """The version of the only contact, and whether this transaction has touched `updated_at`."""
    found = connection.execute(text("SELECT version, updated_at = now() FROM engage.contact")).one()
    return found[0], found[1]


@pytest.fixture
def written(store: Store) -> Store:
    """A store with one contact and one group."""
    with store.engine.begin() as connection:
        connection.execute(text(NEW))
        connection.execute(text("INSERT INTO engage.contact_group (name, name_key) VALUES ('News', 'news')"))
    return store


@pytest.mark.parametrize("name", list(WRITES))
def test_r31_every_writer_of_contacts_and_memberships_leaves_a_trace(written: Store, name: str) -> None:
    statement = WRITES[name].replace("'Ann@x.org', 'ann@x.org', '1'", "'Bob@x.org', 'bob@x.org', '2'")
    with written.engine.begin() as connection:
        assert not seen(connection)
        connection.execute(text(statement))
        connection.execute(text(WRITES["update"]))  # a second write of the transaction is no second row
        assert seen(connection)


def test_r31_who_only_reads_or_writes_elsewhere_leaves_none(written: Store) -> None:
    with written.engine.begin() as connection:
        connection.execute(text("SELECT * FROM engage.contact FOR UPDATE")).all()
        connection.execute(text("INSERT INTO engage.contact_group (name, name_key) VALUES ('b', 'b')"))
        assert not seen(connection)


def test_r31_a_writer_that_a_snapshot_does_not_see_is_told_from_one_that_it_sees(written: Store) -> None:
    unseen = text(
        "SELECT count(*) FROM engage.store_write WHERE NOT pg_visible_in_snapshot(xid, CAST(:s AS pg_snapshot))"
    )
    with written.engine.connect() as planner, written.engine.connect() as writer:
        writer.execute(text(WRITES["update"]))  # open before the snapshot, committed after it
        snapshot = planner.scalar(text("SELECT pg_current_snapshot()::text"))
        writer.commit()
        assert planner.scalar(unseen, {"s": snapshot}) == 1
        planner.rollback()
        later = planner.scalar(text("SELECT pg_current_snapshot()::text"))
        assert planner.scalar(unseen, {"s": later}) == 0


def test_r31_a_foreign_change_raises_the_version(written: Store) -> None:
    with written.engine.begin() as connection:
        connection.execute(text(WRITES["update"]))
        assert version(connection) == (2, True)


def test_r33_a_foreign_update_that_changes_nothing_does_not(written: Store) -> None:
    with written.engine.begin() as connection:
        connection.execute(text("UPDATE engage.contact SET email = email, custom = '{}'"))
        assert version(connection) == (1, False)


def test_a_version_that_a_foreign_writer_sets_is_kept(written: Store) -> None:
    with written.engine.begin() as connection:
        connection.execute(text("UPDATE engage.contact SET first_name = 'Ann', version = 7"))
        assert version(connection) == (7, False)


@pytest.mark.parametrize(("applying", "expected"), [("on", (1, False)), ("off", (2, True)), ("", (2, True))])
def test_the_apply_raises_the_version_itself(written: Store, applying: str, expected: tuple[int, bool]) -> None:
    with written.engine.begin() as connection:
        connection.execute(text("SELECT set_config('engage.applying', :on, true)"), {"on": applying})
        connection.execute(text(WRITES["update"]))
        assert version(connection) == expected


def test_the_mark_of_an_apply_ends_with_its_transaction(written: Store) -> None:
    with written.engine.connect() as connection:
        connection.execute(text("SELECT set_config('engage.applying', 'on', true)"))
        connection.commit()
        connection.execute(text(WRITES["update"]))
        assert version(connection) == (2, True)
