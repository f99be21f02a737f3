"""The one server of a run: an embedded one as ``engage-etl`` sets it up, and databases that are copied on it."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

import engage_etl
from engage_etl.settings import Settings, load_settings
from engage_etl.store.cluster import ROLE, Cluster
from engage_etl.store.embedded import EmbeddedServer
from engage_etl.store.engine import DATABASE

_MAKES_THE_SERVER = ("store/cluster.py", "store/embedded.py")
_REPORTED = (
    "server_version", "shared_buffers", "work_mem", "maintenance_work_mem", "max_wal_size", "wal_compression",
    "synchronous_commit", "fsync", "full_page_writes", "wal_level", "checkpoint_timeout",
)  # fmt: skip


@dataclass(frozen=True)
class BenchServer:
    """An installation of its own in a folder. settings: of that installation; cluster: where its server runs."""

    folder: Path
    settings: Settings
    cluster: Cluster

    @classmethod
    def start(cls, folder: Path) -> BenchServer:
        """Start the server of a folder; one that an earlier state of the program has set up is made anew."""
        folder.mkdir(parents=True, exist_ok=True)
        settings = load_settings(data_dir=folder / "data", database_url=None)
        made_by, current = folder / "server-made-by", fingerprint(_MAKES_THE_SERVER)
        if settings.root.exists() and (not made_by.exists() or made_by.read_text() != current):
            _embedded(settings).remove()
            shutil.rmtree(settings.root)
        made_by.write_text(current)
        cluster = _embedded(settings).ensure_running()
        return cls(folder, settings, cluster)

    def remove(self) -> None:
        """Stop the server and delete its databases."""
        _embedded(self.settings).remove()
        shutil.rmtree(self.settings.root)

    def stop(self) -> None:
        """Stop the server; its databases stay for the next run."""
        _embedded(self.settings).stop(even_if_used=True)

    def environment(self) -> dict[str, str]:
        """The environment in which ``engage-etl`` works on this server; other settings are those of the caller."""
        own = {
            "ENGAGE_DATA_DIR": str(self.settings.root),
            "ENGAGE_DATABASE_URL": self.settings.database_url,
            "ENGAGE_DAGSTER_DATABASE": self.settings.dagster_database,
        }
        given = {name: value for name, value in os.environ.items() if name not in own}
        return given | {name: value for name, value in own.items() if value is not None} | self.libpq()

    def libpq(self, database: str = DATABASE) -> dict[str, str]:
        """What psql needs to reach a database."""
        return {"PGHOST": str(self.cluster.sockets), "PGUSER": ROLE, "PGDATABASE": database}

    def url(self, database: str = DATABASE, driver: str = "postgresql") -> str:
        """The address of a database."""
        return f"{driver}://{ROLE}@/{database}?host={self.cluster.sockets}"

    def connect(self, database: str = DATABASE) -> psycopg.Connection:
        """A connection on which each statement is a transaction of its own."""
        return psycopg.connect(
            host=str(self.cluster.sockets), user=ROLE, dbname=database, autocommit=True, options="-c search_path=public"
        )

    def databases(self) -> list[str]:
        """The names of all databases."""
        with self.connect("postgres") as connection:
            return [name for (name,) in connection.execute("SELECT datname FROM pg_database")]

    def drop(self, database: str) -> None:
        """Drop a database, whoever is connected to it."""
        with self.connect("postgres") as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))

    def copy(self, template: str, database: str = DATABASE) -> None:
        """Make a database a fresh copy of another, with nothing left to be written to the disk."""
        self.drop(database)
        names = sql.Identifier(database), sql.Identifier(template)
        with self.connect("postgres") as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(*names))
            connection.execute("CHECKPOINT")
        os.sync()

    def configuration(self) -> dict[str, str]:
        """The settings of the server that matter for figures."""
        with self.connect("postgres") as connection:
            return {
                name: str(value)
                for name, value in connection.execute(
                    "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s) ORDER BY name",
                    [list(_REPORTED)],
                )
            }


def fingerprint(files: tuple[str, ...]) -> str:
    """Which state of some files of the program made something; a folder stands for its Python files."""
    package = Path(engage_etl.__file__).parent
    digest = hashlib.sha256()
    for name in files:
        path = package / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _embedded(settings: Settings) -> EmbeddedServer:
    return EmbeddedServer(settings.root, settings.server_start_timeout)
