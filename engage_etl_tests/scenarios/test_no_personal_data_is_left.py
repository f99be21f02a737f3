"""R41: of imports with marked values, logs, Dagster's database and folder, pages and figures have none in clear."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import select, text

from engage_etl.settings import Settings
from engage_etl.store.imports import Import, list_imports
from engage_etl.store.tables import plan_row
from engage_etl_tests.cli.commands import engage_etl
from engage_etl_tests.erasure.searching import places_of
from engage_etl_tests.importing import GROUP, Importing
from engage_etl_tests.marts.building import build_with_dbt_alone
from engage_etl_tests.own_dagster import own_dagster
from engage_etl_tests.scenarios.service import Service, drop, running
from engage_etl_tests.waiting import wait_for

pytestmark = [pytest.mark.scenario, pytest.mark.longest]

MARK = "quirrel"
"""Part of each marked text. Identifiers have no mark: R41 lets them be shown, as messages have to name rows."""

MOBILE, BORN = "4917755512345", "1913-03-07"
OTHERS_MOBILE, OTHERS_BORN = "4917755567890", "1917-11-09"
MARKS = (MARK, MOBILE, BORN, OTHERS_MOBILE, OTHERS_BORN)

HEADER = (
    "user.Identifier,user.Email,user.MobileNumber,user.FaxNumber,user.FirstName,user.LastName,user.Nickname,"
    "user.DateOfBirth,user.CustomAttribute.colour,user.CustomAttribute.size,member.shop\n"
)
AUTOMATIONS = """
automations:
  - {name: crm, group: Newsletter, source: drop/crm, additional-parameters: {source-use-customeridentifier: "true"}}
  - name: asks
    group: Newsletter
    source: drop/asks
    approval: required
    additional-parameters: {source-use-customeridentifier: "true"}
"""

CLEAR_FILES = re.compile(
    r"""imports/[^/]+/(raw|unpacked)/.+ | imports/[^/]+/(valid|rejected)\.parquet
    | reports/[^/]+/(rejected|skipped|changes|not_restored)\.csv
    | (done|failed)/[^/]+/[^/]+/([^/]+\.(csv|xml)|report/(rejected|skipped|changes|not_restored)\.csv)
    | drop/.+""",
    re.VERBOSE,
)
"""The bytes of files, their stage files, and the CSV files of reports, which only their owner can read."""

CLEAR_TABLES = re.compile(
    r"engage\.(contact|membership|plan_row(_\w+)?|plan_leaver|contact_change(_\w+)?|revert_detail)"
    r"|marts\.(contact_changes|contact_current)"
)
"""The store itself: contacts, their history, and plans. The register of imports and Dagster's tables are not among them."""


def row(identifier: str, name: str, mobile: str = "", born: str = "", size: str = "7") -> str:
    """A row with a mark in each field that can have one."""
    marked = [f"{MARK}.{name}@mark.example.com", mobile, f"{MARK}-alias-{name}", *(f"{MARK} {part}" for part in "fln")]
    return ",".join([identifier, *marked, born, f"{MARK} colour", size, f"{MARK} shop"]) + "\n"


SEED = HEADER + row("1", "ann", MOBILE, BORN) + row("2", "bob", OTHERS_MOBILE, OTHERS_BORN) + row("3", "cem")
CHANGED = (
    HEADER
    + row("1", "new")
    + row("2", "wrong").replace(f"{MARK}.wrong@mark.example.com", f"no address {MARK}")
    + row("3", "cem", mobile=f"{MARK}-number", born=f"19{MARK}")
    + row("4", "size", size=f"{MARK} size")
    + row("5", "ann", OTHERS_MOBILE)  # the number is taken
    + row("6", "twice")
    + row("6", "twice-again")
    + row("7", "cells").strip()
    + f",{MARK} too many\n"
    + row(f"{MARK} with space", "blank")
    + row("", "nobody")
)
PROFILES = f"""<userdata><list>
<namedattr-definition name="height" type="number"/>
<user><identifier>3</identifier><email>{MARK}.xml@mark.example.com</email><lastname>{MARK} x</lastname></user>
<user><identifier>8</identifier><email>{MARK} no address</email><dateofbirth>{MARK}</dateofbirth>
<namedattr name="height">{MARK}</namedattr></user></list></userdata>"""
DROPPED = {
    "changed.csv": CHANGED,
    "profiles.xml": PROFILES,
    "no-header.csv": row("1", "first").replace("1,", "", 1) + row("2", "second"),
    "broken.xml": PROFILES[:-40].replace("</list>", f"<{MARK}>"),
    "broken-quote.csv": HEADER + row("1", "quote").replace(f"{MARK} f", f'"{MARK} f'),
}


@pytest.fixture
def settings_with_marks(
    importing: Importing, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    for name in ("crm", "asks"):
        (settings.drop_dir / name).mkdir(parents=True)
    settings.automations_file.write_text(AUTOMATIONS)
    with own_dagster(settings) as own:
        monkeypatch.setenv("ENGAGE_LOG_FORMAT", "text")
        yield own


def by_hand(settings: Settings, *arguments: object) -> str:
    """What a command prints, with its log as text."""
    ended = engage_etl(settings, *arguments)
    assert ended.code == 0 and " is done" in ended.err, ended.err
    return ended.out + ended.err


def entries(importing: Importing) -> dict[str, Import]:
    with importing.store.engine.connect() as connection:
        return {entry.file: entry for entry in list_imports(connection) if entry.reverts is None}


def import_dropped(importing: Importing, settings: Settings, service: Service) -> None:
    for name, content in DROPPED.items():
        drop(content, settings.drop_dir / "crm" / name)
    drop(HEADER + row("2", "waits"), settings.drop_dir / "asks" / "waits.csv")
    names = {*DROPPED, "waits.csv"}
    wait_for(
        "all imports",
        lambda: names == {name for name in entries(importing) if _is_over(importing, name)} & names,
    )
    wait_for("the marts", lambda: _has_marts(importing))
    assert {name: entries(importing)[name].status.value for name in names} == {
        "changed.csv": "applied", "profiles.xml": "applied", "no-header.csv": "failed", "broken.xml": "failed",
        "broken-quote.csv": "failed", "waits.csv": "waiting_for_approval",
    }  # fmt: skip


def _is_over(importing: Importing, name: str) -> bool:
    entry = entries(importing).get(name)
    return entry is not None and entry.is_reported and entry.report is not None


def _has_marts(importing: Importing) -> bool:
    with importing.store.engine.connect() as connection:
        if connection.scalar(text("SELECT to_regclass('marts.contact_current')")) is None:
            return False
        return bool(connection.scalar(text("SELECT count(*) FROM marts.contact_current")))


def leaks(settings: Settings, said: dict[str, str]) -> dict[str, list[str]]:
    """Where a mark is that must not be there, by place. said: logs and pages, by name."""
    found: dict[str, list[str]] = {}
    for mark, places in places_of(settings, MARKS).items():
        for place in places:
            if not CLEAR_FILES.fullmatch(place) and not CLEAR_TABLES.fullmatch(place):
                found.setdefault(place, []).append(mark)
    for name, content in said.items():
        if marks := [mark for mark in MARKS if mark in content.lower()]:
            found[name] = marks
    return found


def messages(importing: Importing) -> str:
    """The sentences of all rows of all plans, which reports, page and terminal show."""
    with importing.store.engine.connect() as connection:
        return "\n".join(connection.scalars(select(plan_row.c.message).where(plan_row.c.message.is_not(None))))


def test_r41_no_mark_is_in_any_log_page_figure_or_table_of_dagster(
    importing: Importing, settings_with_marks: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, said = settings_with_marks, {}
    seed = tmp_path / "seed.csv"
    seed.write_text(SEED)
    said["import"] = by_hand(settings, "import", seed, "--group", GROUP, "--use-external-identifier")
    monkeypatch.setenv("ENGAGE_LOG_FORMAT", "json")
    with running(settings, tmp_path / "up.log") as service:
        import_dropped(importing, settings, service)
        said["figures"] = service.page("/metrics")
        said["page"] = service.page(f"/reports/{entries(importing)['changed.csv'].import_id}")
        service.end()
    monkeypatch.setenv("ENGAGE_LOG_FORMAT", "text")
    said["approve"] = by_hand(settings, "imports", "approve", entries(importing)["waits.csv"].import_id)
    said["revert"] = engage_etl(settings, "imports", "revert", entries(importing)["changed.csv"].import_id).out
    build_with_dbt_alone(importing.store, settings.root / "plain-dbt")
    said["log of the service"] = (tmp_path / "up.log").read_text()
    said["messages"] = messages(importing)
    assert '"step": "applied_updates"' in said["log of the service"] and "rejected" in said["messages"] + said["page"]
    assert_everything_was_looked_at(settings)
    assert leaks(settings, said) == {}


def assert_everything_was_looked_at(settings: Settings) -> None:
    """What has to be free of marks is there, or the test could not fail."""
    for pattern in (
        "dagster/**/*",
        "plain-dbt/target/**/*.sql",
        "plain-dbt/log/*.log",
        "reports/*/report.html",
        "reports/*/summary.json",
    ):
        assert any(settings.root.glob(pattern)), pattern
    with psycopg.connect(settings.database_url or "", dbname=settings.dagster_database) as connection:
        for table in ("event_logs", "runs", "asset_keys", "asset_check_executions", "job_ticks"):
            assert count(connection, table), table


def count(connection: psycopg.Connection, table: str) -> int:
    found = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
    return int(found[0]) if found else 0


@pytest.mark.parametrize(
    "place", ["dagster/storage/run/compute_logs/1.out", "dbt/logs/dbt.log", "reports/1/report.html"]
)
def test_a_mark_in_a_file_would_be_found(settings: Settings, place: str) -> None:
    file = settings.root / place
    file.parent.mkdir(parents=True)
    file.write_text(f"... {MARK.upper()}.ann@mark.example.com ...")
    with own_dagster(settings) as own:
        make_events(own)
        assert leaks(own, {"log": ""}) == {place: [MARK]}


def test_a_mark_in_dagster_s_database_or_in_a_log_would_be_found(settings: Settings) -> None:
    with own_dagster(settings) as own:
        make_events(own, f"{MOBILE} is masked nowhere")
        assert leaks(own, {"log": f"row 2: {BORN}"}) == {"public.event_logs": [MOBILE], "log": [BORN]}


def make_events(settings: Settings, event: str = "") -> None:
    """Dagster's database with one table of it."""
    with psycopg.connect(settings.database_url or "", dbname="postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(settings.dagster_database)))
    with psycopg.connect(settings.database_url or "", dbname=settings.dagster_database) as connection:
        connection.execute("CREATE TABLE event_logs (event text)")
        connection.execute("INSERT INTO event_logs VALUES (%s)", [event])
