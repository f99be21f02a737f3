"""An import that is struck at random moments, beside the same import that nothing happened to."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from engage_etl.settings import Settings
from engage_etl_tests.importing import Importing
from engage_etl_tests.scenarios.comparing import (
    STORE,
    contacts_of,
    everything,
    temporary_relations,
    unfinished_files,
)
from engage_etl_tests.scenarios.forking import NAMES, Ending, Forking
from engage_etl_tests.scenarios.full_of_features import Prepared, prepare
from engage_etl_tests.waiting import wait_for

KINDS = 30
"""The file of the struck imports has twelve rows of each."""

_SEED = "CRASH_SEED"
_BACKENDS = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@dataclass(frozen=True)
class Moment:
    """A moment of a stage. after: seconds since it began; before: a statement, counted from 1; seed: gives it again."""

    seed: int
    after: float | None = None
    before: int | None = None


@dataclass(frozen=True)
class Undisturbed:
    """An import that nothing happened to.

    number, while_struck, ending: of its stage; before, after: all there is before it and at the end.
    """

    prepared: Prepared
    number: int
    while_struck: dict[str, Any] | None
    ending: Ending
    before: dict[str, Any]
    after: dict[str, Any]

    def moments(self, *, in_time: int, before_a_statement: int) -> list[Moment]:
        """Random moments, spread over the stage; ``CRASH_SEED`` repeats those of a test that failed."""
        seed = int(os.environ.get(_SEED, random.SystemRandom().randrange(1_000_000)))
        chance = random.Random(seed)
        part = self.ending.seconds / in_time
        times = [Moment(seed, after=part * (number + chance.random())) for number in range(in_time)]
        statements = chance.sample(range(1, self.ending.statements + 1), before_a_statement)
        return times + [Moment(seed, before=statement) for statement in statements]

    def commits(self) -> list[Moment]:
        """The moment before each commit of the stage."""
        return [Moment(0, before=commit) for commit in self.ending.commits]

    def demand_all_or_nothing(self, settings: Settings) -> None:
        """Contacts, memberships and history are as before, or as at the end (R30)."""
        expected = [{table: found[table] for table in STORE} for found in (self.before, self.after)]
        assert contacts_of(settings) in expected

    def demand_equal(self, settings: Settings) -> None:
        """All there is, is as at the end."""
        found = everything(settings)
        for name in found.keys() | self.after.keys():
            assert found.get(name) == self.after.get(name), name


def undisturbed(
    importing: Importing,
    forking: Forking,
    server: str,
    folder: Path,
    number: int,
    while_struck: dict[str, Any] | None = None,
) -> Undisturbed:
    """Prepare an import up to the stage with this number, and run it to its end in a copy.

    server: address without database; folder: for the copy; while_struck: settings of the stage itself, not of those that
    are run afterwards.
    """
    prepared = prepare(importing, KINDS, number, server)
    before = everything(prepared.settings)
    with prepared.copied(folder) as settings:
        own = settings.model_copy(update=while_struck)
        ending = forking.run_whole(own, prepared.import_id, (NAMES[number],))
        forking.run_whole(settings, prepared.import_id)
        after = everything(settings)
    assert temporary_relations(after) == unfinished_files(after) == []
    assert [table for table in STORE if before[table] == after[table]] == []
    return Undisturbed(prepared, number, while_struck, ending, before, after)


@contextmanager
def struck(
    undisturbed: Undisturbed,
    forking: Forking,
    folder: Path,
    moment: Moment,
    *,
    server: Path | None = None,
    restart: Callable[[], object] = lambda: None,
) -> Iterator[tuple[Settings, Ending]]:
    """A copy of the installation in which the stage was struck; where it ended before, another one, a little earlier.

    folder: for the copy; server, restart: to strike the embedded server of this data folder, and to start it again.
    """
    prepared, stage = undisturbed.prepared, NAMES[undisturbed.number]
    try:
        with prepared.copied(folder) as settings:
            when = {"after": moment.after, "before": moment.before, "server": server and str(server)}
            own = settings.model_copy(update=undisturbed.while_struck)
            ending = forking.run(own, prepared.import_id, (stage,), **when)
            restart()
            assert ending.left == []
            if ending.is_struck:
                wait_for_backends(settings)
                yield settings, ending
                return
            assert ending.error is None, ending.error
    except BaseException as error:
        error.add_note(f"{_SEED}={moment.seed}: {stage} struck at {moment}")
        raise
    earlier = replace(moment, after=(moment.after or 0) * 0.8)
    with struck(undisturbed, forking, folder, earlier, server=server, restart=restart) as found:
        yield found


def waiting_for(table: str) -> str:
    """Query: a row while somebody waits for a lock on this table of the store."""
    return f"SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'engage.{table}'::regclass"


def wait_for_backends(settings: Settings) -> None:
    """Wait until the server has noticed that its client is gone."""
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        wait_for("the end of a backend", lambda: connection.execute(_BACKENDS).fetchone() is None, pause=0.005)
