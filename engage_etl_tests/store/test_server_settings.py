"""How the embedded server is set, where any server is set otherwise than recommended, and how people set it themselves."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from engage_etl.errors import DataFolderUnusable
from engage_etl.settings import Settings
from engage_etl.store import embedded, tuning
from engage_etl.store.cluster import ROLE, Cluster, locate_cluster
from engage_etl.store.embedded import EmbeddedServer
from engage_etl.store.engine import server_differences
from engage_etl.store.server_check import fits
from engage_etl.store.tuning import ADVICE, GIB, MIB, Bound, as_bytes, recommended


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A data folder with a server as installations have it."""
    made = Path(tempfile.mkdtemp(prefix="engage-server-"))
    made.chmod(0o755)
    try:
        EmbeddedServer(made).ensure_running()
        yield made
    finally:
        EmbeddedServer(made).remove()
        shutil.rmtree(made, ignore_errors=True)


def ask(cluster: Cluster, query: str) -> str | None:
    with psycopg.connect(host=str(cluster.sockets), user=ROLE, dbname="postgres", autocommit=True) as connection:
        cursor = connection.execute(query)
        found = cursor.fetchone() if cursor.description else None
    return None if found is None else str(found[0])


def restart(folder: Path) -> Cluster:
    EmbeddedServer(folder).stop(even_if_used=True)
    return EmbeddedServer(folder).ensure_running()


def test_a_new_embedded_server_is_as_recommended(folder: Path) -> None:
    assert server_differences(Settings(data_dir=folder)) == []


def test_it_takes_up_the_memory_of_its_machine_when_it_starts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the data folder was moved to a smaller machine."""
    monkeypatch.setattr(embedded, "usable_memory", lambda: GIB)
    assert ask(restart(folder), "SHOW shared_buffers") == "256MB"
    monkeypatch.undo()
    [difference] = [
        one for one in server_differences(Settings(data_dir=folder), 8 * GIB) if one.name == "shared_buffers"
    ]
    assert (difference.value, difference.recommended) == ("256MB", "at least 2048MB")
    restart(folder)
    assert server_differences(Settings(data_dir=folder)) == []


def by_the_system(cluster: Cluster) -> None:
    ask(cluster, "ALTER SYSTEM SET autovacuum_naptime = '45s'")


def by_the_file(cluster: Cluster) -> None:
    with (cluster.folder / "postgresql.conf").open("a") as file:
        file.write("autovacuum_naptime = '45s'\n")


@pytest.mark.parametrize("setting", [by_the_system, by_the_file])
def test_what_people_set_wins_and_is_shown(folder: Path, setting: Callable[[Cluster], None]) -> None:
    cluster = locate_cluster(folder)
    kept = (cluster.folder / "postgresql.conf").read_text()
    setting(cluster)
    assert ask(restart(folder), "SHOW autovacuum_naptime") == "45s"
    [difference] = server_differences(Settings(data_dir=folder))
    assert (difference.name, difference.value, difference.recommended) == ("autovacuum_naptime", "45s", "at most 10s")
    assert difference.reason.endswith(".")
    ask(cluster, "ALTER SYSTEM RESET ALL")
    (cluster.folder / "postgresql.conf").write_text(kept)
    restart(folder)


def test_a_cluster_of_an_older_version_gets_the_settings_of_this_one(folder: Path) -> None:
    cluster = locate_cluster(folder)
    main = cluster.folder / "postgresql.conf"
    main.write_text(main.read_text().replace("include 'engage.conf'", "shared_buffers = '32MB'"))
    (cluster.folder / "engage.conf").unlink()
    for _ in range(2):
        assert ask(restart(folder), "SHOW checkpoint_timeout") == "15min"
        assert main.read_text().count("include 'engage.conf'") == 1
    assert server_differences(Settings(data_dir=folder)) == []


def test_root_follows_no_link_at_the_settings(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("kept\n")
    secret.chmod(0o600)
    cluster = locate_cluster(folder)
    for name in ("engage.conf", "engage.conf.new"):
        (cluster.folder / name).unlink(missing_ok=True)
        (cluster.folder / name).symlink_to(secret)
    if cluster.account.is_other:
        EmbeddedServer(folder).stop(even_if_used=True)
        with pytest.raises(DataFolderUnusable, match=r"settings in .* cannot be written .*denied"):
            EmbeddedServer(folder).ensure_running()
        assert secret.read_text() == "kept\n"
    for name in ("engage.conf", "engage.conf.new"):
        (cluster.folder / name).unlink()
    restart(folder)


def test_r41_the_log_does_not_say_which_address_there_is_twice(folder: Path) -> None:
    cluster = EmbeddedServer(folder).ensure_running()
    twice = "CREATE TEMP TABLE t (email text UNIQUE); INSERT INTO t VALUES ('ann@example.com'), ('ann@example.com')"
    with pytest.raises(psycopg.errors.UniqueViolation):
        ask(cluster, twice)
    log = cluster.log.read_text()
    assert "duplicate key" in log and "ann@example.com" not in log


def test_every_session_has_room_for_its_joins_but_the_address_has_the_last_word(settings: Settings) -> None:
    from sqlalchemy import text

    from engage_etl.store.engine import open_store

    assert settings.database_url is not None
    for added, expected in (("", "128MB"), ("&options=-c%20work_mem%3D96MB", "96MB")):
        given = settings.model_copy(update={"database_url": settings.database_url + added})
        with open_store(given) as store, store.engine.connect() as connection:
            assert connection.scalar(text("SHOW work_mem")) == expected


def test_an_external_server_is_held_to_its_own_memory(settings: Settings) -> None:
    """The server of the tests has 256 MB of shared buffers, and that it is embedded is not known here."""
    small, large = (
        {one.name: one for one in server_differences(settings, memory)} for memory in (GIB, 64 * GIB)
    )  # fmt: skip
    assert "shared_buffers" not in small
    assert large["shared_buffers"].recommended == "at least 8192MB"
    assert not {advice.name for advice in ADVICE if not advice.is_for_all} & large.keys()


@pytest.mark.parametrize(
    ("value", "wanted", "bound", "expected"),
    [
        ("8GB", "8192MB", Bound.EXACTLY, True),
        ("8GB", "4GB", Bound.AT_LEAST, True),
        ("1GB", "4GB", Bound.AT_LEAST, False),
        ("512kB", "1MB", Bound.AT_MOST, True),
        ("1min", "10s", Bound.AT_MOST, False),
        ("1h", "15min", Bound.AT_LEAST, True),
        ("4", "1.1", Bound.AT_MOST, False),
        ("1", "1.1", Bound.AT_MOST, True),
        ("-1", "0", Bound.EXACTLY, False),
        ("on", "pglz", Bound.EXACTLY, False),
        ("", "", Bound.EXACTLY, True),
    ],
)
def test_values_are_compared_by_what_they_mean(value: str, wanted: str, bound: Bound, expected: bool) -> None:
    assert fits(value, wanted, bound) is expected


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        (512 * MIB, ("128MB", "256MB", "64MB")),
        (4 * GIB, ("1024MB", "2048MB", "256MB")),
        (256 * GIB, ("8192MB", "131072MB", "1024MB")),
    ],
)
def test_values_go_with_the_memory(memory: int, expected: tuple[str, ...]) -> None:
    values = recommended(memory)
    names = ("shared_buffers", "effective_cache_size", "maintenance_work_mem")
    assert tuple(values[name] for name in names) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("64GB", 64 * GIB), ("1.5 GB", 1536 * MIB), ("512MB", 512 * MIB), ("64", None), ("64GiB", None), ("0GB", None)],
)
def test_an_amount_of_memory(text: str, expected: int | None) -> None:
    assert as_bytes(text) == expected


def test_each_setting_is_there_once_with_a_reason() -> None:
    names = [advice.name for advice in (*ADVICE, *tuning.SESSION)]
    assert len(names) == len(set(names))
    assert all(advice.why.endswith(".") for advice in ADVICE)
