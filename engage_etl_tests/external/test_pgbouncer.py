"""Behind PgBouncer, which gives each transaction another session: imports, eight at once, reverts, killed processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url, text

from engage_etl.errors import ImportBusy, StoreUnavailable
from engage_etl.settings import Settings
from engage_etl.stage_run import revert_and_finish
from engage_etl.store.engine import Store, open_store, store_status
from engage_etl.store.imports import import_lock, is_alive
from engage_etl_tests.cli.commands import engage_etl, environment
from engage_etl_tests.external.conftest import IMPORTER
from engage_etl_tests.external.servers import Pooler, Server, pgbouncer
from engage_etl_tests.importing import GROUP, STAGES, Importing, as_csv
from engage_etl_tests.match_plan.loading import import_as_large, with_several_row_groups
from engage_etl_tests.scenarios.full_of_features import file, fill, options
from engage_etl_tests.waiting import wait_until_given_up

IMPORTS = 8
SESSION = {"timezone": "UTC", "jit": "off", "search_path": "public", "work_mem": "128MB"}


@pytest.fixture(scope="module")
def pooler(debian: Server) -> Iterator[Pooler]:
    """In transaction mode, with as few sessions as make them change hands."""
    with pgbouncer(debian, [IMPORTER], ignore_startup_parameters="") as started:
        yield started


@pytest.fixture
def settings(settings: Settings, pooler: Pooler) -> Settings:
    """The installation of the importer, with all but its locks by way of the pooler."""
    assert settings.database_url is not None
    pooled = pooler.url(IMPORTER, database_of(settings))
    return settings.model_copy(update={"database_url": pooled, "direct_url": settings.database_url})


def database_of(settings: Settings) -> str:
    return str(make_url(settings.database_url or "").database)


def test_an_import_with_everything_in_it_and_its_revert(importing: Importing) -> None:
    fill(importing, 3)
    before = importing.column("contact_id", "identifier", "email", "mobile_number", "groups")
    entry = importing(file(3), **options())
    assert (entry.status, entry.created, entry.updated) == ("applied", 6, 18), importing.rows(entry)
    assert revert_and_finish(importing.store, entry.import_id, "ann").status == "applied"
    assert importing.column("contact_id", "identifier", "email", "mobile_number", "groups") == before


def test_a_large_file_is_loaded_over_several_connections(
    importing: Importing, settings: Settings, debian: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_several_row_groups(monkeypatch)
    fill(importing, 3)
    assert import_as_large(importing, file(3), **options()).status == "applied"
    with debian.connect(database_of(settings)) as connection:
        left = (
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'v') AND relname IN ('staged_row', 'staged_rejection')"
        )
        assert connection.execute(left).fetchall() == [("staged_row",)], "the template, and nothing in any session"


@pytest.mark.parametrize(("name", "value"), list(SESSION.items()))
def test_each_transaction_is_set_as_a_session_of_ours(store: Store, name: str, value: str) -> None:
    with store.engine.connect() as connection:
        assert connection.scalar(text("SELECT current_setting(:name)"), {"name": name}) == value


def test_nothing_is_left_in_the_sessions_of_others(importing: Importing, settings: Settings, debian: Server) -> None:
    """No settings, locks or temporary tables in the sessions that PgBouncer keeps for the next one."""
    importing.seed("user.Email,user.Identifier\nann@x.org,1\n")
    importing.store.dispose()
    with debian.connect(database_of(settings)) as connection:
        locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        assert connection.execute(locks).fetchone() == (0,)
        temporary = "SELECT count(*) FROM pg_class WHERE relpersistence = 't'"
        assert connection.execute(temporary).fetchone() == (0,)
    with psycopg.connect(settings.database_url or "", prepare_threshold=None) as connection:
        assert connection.execute("SHOW work_mem").fetchone() == ("4MB",)


def test_eight_at_once(importing: Importing, settings: Settings) -> None:
    importing.seed(as_csv(("user.Email", "user.Identifier"), *((f"a{n}@x.org", str(n)) for n in range(100))))
    ids = [
        importing.register(
            as_csv(("user.Identifier", "user.FirstName"), *((str(n), f"Name {number}") for n in range(100))),
            name=f"{number}.csv",
        )
        for number in range(IMPORTS)
    ]

    def run(import_id: str) -> str:
        with open_store(settings) as own:
            return Importing(own, importing.folder).run(import_id).status.value

    with ThreadPoolExecutor(IMPORTS) as pool:
        assert list(pool.map(run, ids)) == ["applied"] * IMPORTS
    histories = [len(contact["history"]) for contact in importing.contacts(history=True)]
    assert histories == [1 + IMPORTS] * 100, "each of them has changed each contact once"


APPLY_AND_HANG = """
import signal, sys
from engage_etl.applied_updates import stage, writing
from engage_etl.settings import load_settings
from engage_etl.stage_run import import_stage
from engage_etl.store.engine import open_store
def hang(*_, **__):
    print("here", flush=True)
    signal.pause()
writing.write_history = hang
with open_store(load_settings()) as store, import_stage(store, sys.argv[1]):
    stage.apply_updates(store, sys.argv[1])
"""


def test_a_process_that_is_killed_while_applying(importing: Importing, settings: Settings) -> None:
    importing.seed("user.Email,user.Identifier\nann@x.org,1\n")
    entry = importing.plan("user.Identifier,user.Email\n1,new@x.org\n")
    with subprocess.Popen(
        [sys.executable, "-c", APPLY_AND_HANG, entry.import_id],
        env=environment(settings), stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stdout.readline() == "here\n"
        with importing.store.engine.connect() as connection:
            assert is_alive(connection, entry.import_id)
        with pytest.raises(ImportBusy):
            importing.run(entry.import_id, STAGES[3:])
        process.send_signal(signal.SIGKILL)
    assert importing.column("email") == [("ann@x.org",)]
    wait_until_given_up(importing.store, entry.import_id)
    assert importing.run(entry.import_id, STAGES[3:]).status == "applied"
    assert importing.column("email") == [("new@x.org",)]


def test_the_lock_of_an_import_outlives_transactions(importing: Importing, settings: Settings) -> None:
    """As many others come in between as PgBouncer has sessions."""
    import_id = importing.register("user.Email\nann@x.org\n")
    with open_store(settings) as other, import_lock(importing.store.locks, import_id):
        for _ in range(30):
            with importing.store.engine.connect() as connection, other.engine.connect() as beside:
                assert is_alive(connection, import_id) and is_alive(beside, import_id)


def test_a_command(importing: Importing, settings: Settings, tmp_path: Path) -> None:
    """With Dagster, whose own tables are reached through the pooler too."""
    source = tmp_path / "crm.csv"
    source.write_text("user.Email,user.Identifier\nann@x.org,1\n")
    ended = engage_etl(settings, "import", source, "--group", GROUP, "--use-external-identifier", "--json")
    assert (ended.code, ended.json["status"]) == (0, "applied"), ended.err


def test_without_an_address_past_the_pooler_there_is_a_sentence(settings: Settings, debian: Server) -> None:
    only = settings.model_copy(update={"direct_url": None})
    for use in (open_store, store_status):
        with pytest.raises(StoreUnavailable, match=r"leads to a pooler.*ENGAGE_DIRECT_URL"):
            use(only)  # type: ignore[operator]
    # Where PgBouncer is told to overlook what it does not know, that is seen by the process that answers.
    with pgbouncer(debian, [IMPORTER], ignore_startup_parameters="options") as lenient:
        overlooked = only.model_copy(update={"database_url": lenient.url(IMPORTER, database_of(settings))})
        with pytest.raises(StoreUnavailable, match=r"leads to a pooler.*ENGAGE_DIRECT_URL"):
            open_store(overlooked)


def test_an_address_that_does_not_lead_past_it_or_elsewhere(settings: Settings, debian: Server) -> None:
    with pytest.raises(StoreUnavailable, match="leads to a pooler"):
        open_store(settings.model_copy(update={"direct_url": settings.database_url}))
    with pytest.raises(StoreUnavailable, match="another database than that behind ENGAGE_DATABASE_URL"):
        open_store(settings.model_copy(update={"direct_url": debian.url(IMPORTER, "postgres")}))
