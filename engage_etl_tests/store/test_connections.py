"""What every connection to the store is like, and what other programs are told about it."""

from __future__ import annotations

import os
import subprocess
import sys
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy import create_engine, text

from engage_etl.errors import StoreUnavailable
from engage_etl.settings import Settings
from engage_etl.store.cluster import ROLE
from engage_etl.store.engine import Store, connection_facts, dagster_database_url, open_store, upgrade_store

SESSION = {"timezone": "UTC", "jit": "off", "search_path": "public", "application_name": "engage-etl"}


def with_options(settings: Settings, options: str) -> Settings:
    return settings.model_copy(update={"database_url": f"{settings.database_url}&options={quote(options)}"})


@pytest.mark.parametrize(("name", "value"), list(SESSION.items()))
def test_every_connection(store: Store, name: str, value: str) -> None:
    with store.engine.connect() as connection:
        assert connection.scalar(text("SELECT current_setting(:name)"), {"name": name}) == value


def test_options_of_the_address_are_kept_and_ours_come_last(settings: Settings) -> None:
    options = "-c statement_timeout=12345 -c timezone=Asia/Tokyo"
    with open_store(with_options(settings, options)) as opened, opened.engine.connect() as connection:
        assert connection.scalar(text("SHOW statement_timeout")) == "12345ms"
        assert connection.scalar(text("SHOW timezone")) == "UTC"


@pytest.mark.parametrize("use", [open_store, upgrade_store])
def test_a_user_without_rights_gets_a_sentence(settings: Settings, use: object) -> None:
    """The sessions of pg_monitor, which owns nothing here and may read nothing of ours."""
    with pytest.raises(StoreUnavailable, match=r"lacks rights on the store .*permission denied.*; grant them"):
        use(with_options(settings, "-c role=pg_monitor"))  # type: ignore[operator]


def test_what_psql_and_dbt_are_told(settings: Settings) -> None:
    facts = connection_facts(settings)
    with psycopg.connect(host=facts["PGHOST"], user=facts["PGUSER"], dbname=facts["PGDATABASE"]) as connection:
        assert connection.execute("SELECT count(*) FROM engage.contact").fetchone() == (0,)
    assert facts.keys() == {"PGHOST", "PGUSER", "PGDATABASE"}


def test_what_they_are_told_of_an_external_server() -> None:
    url = "postgres://ann:a%2Fb@db.example:6543/crm?sslmode=verify-full&sslrootcert=/etc/ca.pem"
    assert connection_facts(Settings(database_url=url)) == {
        "PGHOST": "db.example", "PGPORT": "6543", "PGUSER": "ann", "PGPASSWORD": "a/b", "PGDATABASE": "crm",
        "PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/etc/ca.pem",
    }  # fmt: skip


def test_dagsters_address_works_with_its_driver(settings: Settings) -> None:
    own = settings.model_copy(update={"dagster_database": f"dagster_{os.urandom(4).hex()}"})
    url = dagster_database_url(own)
    assert url.startswith(f"postgresql+psycopg2://{ROLE}@/{own.dagster_database}?host=")
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT current_database()")) == own.dagster_database
    engine.dispose()
    with psycopg.connect(host=connection_facts(own)["PGHOST"], user=ROLE, dbname="postgres", autocommit=True) as server:
        server.execute(psycopg.sql.SQL("DROP DATABASE {}").format(psycopg.sql.Identifier(own.dagster_database)))


def test_a_current_store_is_opened_without_loading_alembic(settings: Settings) -> None:
    program = (
        "import sys; sys.path[:] = eval(sys.argv[3])\n"
        "from engage_etl.settings import Settings\n"
        "from engage_etl.store.engine import open_store\n"
        "open_store(Settings(data_dir=sys.argv[1], database_url=sys.argv[2])).dispose()\n"
        "print('alembic' in sys.modules, 'dagster' in sys.modules)\n"
    )
    arguments = [str(settings.data_dir), settings.database_url or "", repr(sys.path)]
    ended = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["False", "False"]
