"""Backup and restore of the embedded store: whole or not at all, also while imports go on, and imports go on afterwards."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import text

from engage_etl.errors import SchemaMismatch, StoreUnavailable, UsageError
from engage_etl.settings import Settings
from engage_etl.store import backup as backups
from engage_etl.store import cluster as clusters
from engage_etl.store.backup import FACTS, STORE_DUMP, back_up
from engage_etl.store.embedded import EmbeddedServer
from engage_etl.store.engine import Store, open_store
from engage_etl.store.readers import READER
from engage_etl.store.restoring import restore
from engage_etl.triggers.instance import open_instance
from engage_etl_tests.cli.commands import Ended, engage_etl, environment
from engage_etl_tests.importing import STAGES, Importing
from engage_etl_tests.waiting import wait_for

SEED = "user.Email,user.Identifier,user.CustomAttribute.colour\n" + "".join(f"c{n}@x.org,{n},red\n" for n in range(200))
CHANGED = "user.Identifier,user.Email\n" + "".join(f"{n},new{n}@x.org\n" for n in range(150))


@contextmanager
def embedded(name: str) -> Iterator[Settings]:
    """The settings of an installation with an embedded server of its own."""
    folder = Path(tempfile.mkdtemp(prefix=f"engage-backup-{name}-"))
    folder.chmod(0o755)
    try:
        yield Settings(data_dir=folder / "data")
    finally:
        EmbeddedServer(folder / "data").remove()
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def source() -> Iterator[Importing]:
    """An installation with contacts, and a role that reads them."""
    with embedded("source") as settings, open_store(settings) as store:
        importing = Importing.prepare(store, settings.root / "files")
        importing.seed(SEED)
        with store.engine.begin() as connection:
            connection.execute(text("CREATE ROLE ann IN ROLE engage_reader"))
        yield importing


@pytest.fixture(scope="module")
def target() -> Iterator[Settings]:
    """A fresh data folder, and what earlier tests have restored into it."""
    with embedded("target") as settings:
        yield settings


@pytest.fixture
def folder(source: Importing) -> Path:
    """Where a backup is written to."""
    return source.store.settings.root / "backups" / uuid.uuid4().hex


@pytest.fixture(autouse=True)
def place_for_backups(source: Importing) -> None:
    (source.store.settings.root / "backups").mkdir(exist_ok=True)


def test_a_backup_beside_an_import_is_restored_and_the_import_goes_on(
    source: Importing, target: Settings, folder: Path
) -> None:
    import_id = source.register(CHANGED)
    source.run(import_id, STAGES[:3])
    with ThreadPoolExecutor(1) as thread, source.store.engine.connect() as other:
        other.execute(text("SELECT * FROM engage.contact FOR UPDATE"))
        applying = thread.submit(source.run, import_id, STAGES[3:])
        wait_for("the import is at work", lambda: is_held(source.store, import_id), pause=0.02)
        before = source.contacts(history=True)
        made = back_up(source.store.settings, folder)
        assert not applying.done()
        other.rollback()
        assert applying.result().status == "applied"

    restored = restore(target, folder, replace=False)
    assert restored == made and made.store.rows["contact"] == 200
    with open_store(target) as store:
        again = Importing(store, source.folder)
        assert again.contacts(history=True) == before != source.contacts(history=True)
        entry = again.entry(import_id)
        assert (entry.status, entry.plan_snapshot) == ("planned", None)
        # What lies in files is not in a backup.
        shutil.copytree(source.store.settings.import_dir(import_id), target.import_dir(import_id))
        assert again.run(import_id, STAGES[3:]).status == "applied"
        profiles = ("contact_id", "identifier", "email", "custom", "groups", "version")
        assert again.column(*profiles) == source.column(*profiles)
        assert again("user.Identifier,user.Email\n7,seven@x.org\n1000,thousand@x.org\n").created == 1
        with store.engine.begin() as connection:
            connection.execute(text("SET LOCAL ROLE ann"))
            assert connection.scalar(text("SELECT count(*) FROM audit.contact_history('7')")) == 6
            assert not connection.scalar(text("SELECT has_table_privilege('engage.contact', 'UPDATE')"))
            owner = "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'marts'"
            assert connection.scalar(text(owner)) == "engage_dbt"


def is_held(store: Store, import_id: str) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE :name AND wait_event_type = 'Lock'"
    waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    with store.engine.connect() as connection:
        return bool(connection.scalar(text(waits)) or connection.scalar(text(query), {"name": f"%{import_id}%"}))


def test_it_is_for_its_owner_only(source: Importing, folder: Path) -> None:
    back_up(source.store.settings, folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    assert [file.name for file in folder.parent.iterdir() if file.name.endswith(".part")] == []
    with pytest.raises(UsageError, match="is there already"):
        back_up(source.store.settings, folder)


def test_a_store_that_holds_data_is_replaced_only_when_told(source: Importing, target: Settings, folder: Path) -> None:
    back_up(source.store.settings, folder)
    with open_store(target) as store:
        there = Importing(store, source.folder)
        with store.engine.begin() as connection:
            connection.execute(text("INSERT INTO engage.contact_group (name, name_key) VALUES ('mine', 'mine')"))
            groups = connection.scalar(text("SELECT count(*) FROM engage.contact_group"))
        before = there.contacts(history=True)
        with pytest.raises(UsageError, match=rf"holds data \(.*{groups} in contact_group.*add --replace"):
            restore(target, folder, replace=False)
        with store.engine.connect() as connection:
            connection.execute(text("SELECT 1"))
            with pytest.raises(UsageError, match="Others use the store"):
                restore(target, folder, replace=True)
        assert there.contacts(history=True) == before
    restore(target, folder, replace=True)
    with open_store(target) as store:
        assert Importing(store, source.folder).contacts(history=True) == source.contacts(history=True)
    assert databases(target) == ["dagster", "engage"]


def databases(settings: Settings) -> list[str]:
    query = "SELECT datname FROM pg_database WHERE datname LIKE 'dagster%' OR datname LIKE 'engage%' ORDER BY 1"
    with open_store(settings) as store, store.engine.connect() as connection:
        return list(connection.scalars(text(query)))


def test_a_backup_that_is_damaged_or_not_finished_is_refused(source: Importing, target: Settings, folder: Path) -> None:
    there = databases(target)
    with pytest.raises(UsageError, match="is no backup, or one that was not finished"):
        restore(target, folder, replace=True)
    back_up(source.store.settings, folder)
    dump = folder / STORE_DUMP
    whole = dump.read_bytes()
    dump.write_bytes(whole[:-1] + b"x")
    with pytest.raises(UsageError, match=r"is damaged: store\.dump is not as it was written"):
        restore(target, folder, replace=True)
    dump.write_bytes(whole)
    facts = json.loads((folder / FACTS).read_text())
    (folder / FACTS).write_text(json.dumps(facts | {"schema_revision": "9999"}))
    with pytest.raises(SchemaMismatch, match="newer than this program's"):
        restore(target, folder, replace=True)
    facts["store"]["rows"]["contact"] += 1
    (folder / FACTS).write_text(json.dumps(facts))
    with pytest.raises(StoreUnavailable, match=r"not what the backup says \(contact\); the store is as it was"):
        restore(target, folder, replace=True)
    assert databases(target) == there, "nothing is left behind"
    (folder / FACTS).write_text("{}")
    with pytest.raises(UsageError, match="is no backup that this program can read"):
        restore(target, folder, replace=True)


def ended_by(source: Importing, folder: Path, number: signal.Signals) -> Ended:
    """How a backup ends that gets a signal with half of it done."""
    command = [sys.executable, "-m", "engage_etl.cli.main", "db", "backup", str(folder)]
    given = environment(source.store.settings)
    with source.store.engine.connect() as other:
        other.execute(text("LOCK TABLE engage.contact IN ACCESS EXCLUSIVE MODE"))  # so that it waits there
        # Where tests run in the background, SIGINT is ignored, and what they start would ignore it too.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            process = subprocess.Popen(command, env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        finally:
            signal.signal(signal.SIGINT, before)
        with process:
            wait_for(
                "half is written", lambda: any(folder.parent.glob(f".{folder.name}-*.part/dagster.dump")), pause=0.02
            )
            process.send_signal(number)
            out, err = process.communicate()
    return Ended(process.returncode, out, err)


def test_a_dump_may_take_longer_than_transactions_may_idle(
    source: Importing, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(*given: Any, **named: Any) -> None:
        run_program(*given, **named)
        time.sleep(0.5)

    run_program = backups.run_program
    monkeypatch.setattr(backups, "run_program", slowly)
    impatient = source.store.settings.model_copy(update={"idle_transaction_timeout": 0.1})
    assert back_up(impatient, folder) == backups.read_backup(folder)


def test_one_that_is_interrupted_leaves_nothing(source: Importing, folder: Path) -> None:
    ended = ended_by(source, folder, signal.SIGINT)
    assert (ended.code, ended.out) == (130, "") and "Traceback" not in ended.err
    assert [one for one in folder.parent.iterdir() if folder.name in one.name] == []


def test_one_that_is_killed_leaves_nothing_that_looks_whole(source: Importing, folder: Path) -> None:
    assert ended_by(source, folder, signal.SIGKILL).code == -signal.SIGKILL
    [left] = [one for one in folder.parent.iterdir() if folder.name in one.name]
    assert left.name.startswith(".") and not (left / FACTS).exists()
    with pytest.raises(UsageError, match="is no backup"):
        backups.read_backup(left)


def test_runs_that_were_at_work_have_failed_after_a_restore(source: Importing, target: Settings, folder: Path) -> None:
    with open_instance(source.store.settings) as instance:
        job = dg.define_asset_job("x")
        run = instance.create_run_for_job(dg.Definitions(jobs=[job]).resolve_job_def("x"))
        instance.report_dagster_event(
            dg.DagsterEvent("PIPELINE_START", job_name="x", message="begun"), run_id=run.run_id
        )
    assert engage_etl(source.store.settings, "db", "backup", folder, "--json").json["rows"]["dagster"]["runs"] == 1
    ended = engage_etl(target, "db", "restore", folder, "--replace")
    assert (ended.code, ended.out) == (0, ""), ended.err
    assert "All rows were counted." in ended.err and "200 contacts" in ended.err
    with open_instance(target) as instance:
        assert [one.status for one in instance.get_runs()] == [dg.DagsterRunStatus.FAILURE]


def test_what_is_on_a_server_of_its_own_is_not_ours_to_back_up(settings: Settings, tmp_path: Path) -> None:
    for words in (("backup",), ("restore",)):
        ended = engage_etl(settings, "db", *words, tmp_path / "backup")
        assert ended.code == 2 and "pg_dump and pg_restore" in ended.err and "docs/operations.md" in ended.err


def test_a_database_of_another_major_version_is_a_sentence(
    source: Importing, target: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = EmbeddedServer(target.root)
    server.ensure_running()
    server.stop(even_if_used=True)
    monkeypatch.setattr(clusters, "SERVER_VERSION", 19)
    with pytest.raises(StoreUnavailable) as raised:
        server.ensure_running()
    sentence = str(raised.value)
    assert "was made by PostgreSQL 18, and this program brings 19. Nothing was changed." in sentence
    assert "`engage-etl db backup FOLDER`" in sentence and "`engage-etl db restore FOLDER`" in sentence
    monkeypatch.undo()
    (clusters.locate_cluster(target.root).folder / "PG_VERSION").write_text("17\n")
    ended = engage_etl(target, "groups", "list")
    assert ended.code == 1 and "made by PostgreSQL 17, and this program brings 18" in ended.err
    (clusters.locate_cluster(target.root).folder / "PG_VERSION").write_text("18\n")


def test_what_readers_may_do_is_part_of_a_backup(source: Importing, folder: Path) -> None:
    made = back_up(source.store.settings, folder)
    assert {"ann", READER} <= set(made.roles) and (READER, "ann") in made.members
