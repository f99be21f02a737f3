"""R31, R32: eight imports at once, beside other writers, come out as in some order one after the other."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select, text

from engage_etl.store.engine import Store
from engage_etl.store.tables import contact, contact_change
from engage_etl_tests.importing import Importing
from engage_etl_tests.scenarios.at_once import (
    DOUBLED,
    IMPORTS,
    TALLY,
    OtherWriters,
    Ran,
    as_planned,
    empty,
    files,
    fill,
    in_a_row,
    run_at_once,
    state,
    written,
)


@pytest.mark.parametrize("all_planned_first", [True, False], ids=["planned-first", "as-they-come"])
@pytest.mark.parametrize("seed", [100, 104])
def test_r32_eight_imports_at_once_equal_some_order(
    importing: Importing, tmp_path: Path, seed: int, all_planned_first: bool
) -> None:
    fill(importing)
    given = files(random.Random(seed))
    with OtherWriters(importing.store.settings, seed):
        ran = run_at_once(importing, given, all_planned_first=all_planned_first)
    others = written(importing.store.engine)
    applied = [entry for entry in ran.entries if entry.status == "applied"]
    judge_ends(ran)
    judge_drift(importing, ran)
    if all_planned_first:
        assert sum(entry.drifted for entry in applied) > 0, "the files do not quarrel at all"
    judge_versions(importing)
    judge_identifiers(importing)
    assert sum(int(nickname or 0) for (nickname,) in importing.column("nickname")) == sum(
        statement == TALLY for _, statement, _ in others
    )
    assert deadlocks(importing.store) == 0
    found = state(importing, applied)

    empty(importing.store)
    again = Importing.prepare(importing.store, tmp_path / "in a row")
    fill(again)
    expected = state(again, in_a_row(again, ran, given, others).entries)
    for part, content in expected.items():
        assert found[part] == content, f"{part} with seed {seed}"


def judge_ends(ran: Ran) -> None:
    """All are applied, but for those that were checked when an attribute had another type still."""
    for entry in ran.entries:
        if entry.status != "applied":
            assert "has become a" in (entry.error_message or ""), entry
    assert sum(entry.status == "applied" for entry in ran.entries) >= IMPORTS // 2
    for entry in ran.entries:
        if entry.status == "applied":
            assert sum(entry.outcome_counts().values()) == entry.rows


def judge_drift(importing: Importing, ran: Ran) -> None:
    """Counted are the rows of which something else became than was planned first."""
    for entry in ran.entries:
        if entry.status == "applied":
            pairs = zip(ran.planned[entry.import_id], as_planned(importing, entry), strict=True)
            assert entry.drifted == sum(before != after for before, after in pairs)
            assert (entry.drifted == 0) or entry.plan_hash != entry.first_plan_hash


def judge_versions(importing: Importing) -> None:
    """No two changes of a contact have the same version, and none is later than the contact."""
    query = select(contact_change.c.contact_id, contact_change.c.version, contact.c.version).join_from(
        contact_change, contact, contact.c.contact_id == contact_change.c.contact_id
    )
    with importing.store.engine.connect() as connection:
        changes = connection.execute(query.order_by(contact_change.c.change_id)).all()
    versions: dict[int, list[int]] = {}
    for contact_id, version, latest in changes:
        assert version <= latest
        versions.setdefault(contact_id, []).append(version)
    assert all(found == sorted(set(found)) for found in versions.values())


def judge_identifiers(importing: Importing) -> None:
    found = Counter(identifier for (identifier,) in importing.column("identifier") if identifier)
    assert [identifier for identifier, count in found.items() if count > 1] == [DOUBLED]


def deadlocks(store: Store) -> int:
    """Deadlocks that PostgreSQL has found in this database; a session counts its own when it ends, at the latest."""
    store.engine.dispose()
    with store.engine.connect() as connection:
        query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        return int(connection.scalar(text(query)) or 0)
