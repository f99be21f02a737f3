"""``contacts``, ``groups``, ``db``, ``env``, ``--help``."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

from engage_etl.settings import Settings
from engage_etl.store.engine import Store
from engage_etl_tests.cli.commands import engage_etl
from engage_etl_tests.importing import Importing

FIELDS = [
    "email", "mobile_number", "app_alias", "identifier", "first_name", "last_name", "nickname", "title", "date_of_birth",
    "zip_code", "partner_id", "country_code", "language_code", "time_zone", "custom", "groups", "version", "created_at",
    "updated_at",
]  # fmt: skip
SEED = (
    "user.Email,user.Identifier,user.MobileNumber,user.Title,user.CustomAttribute['Favourite shop'],user.FirstName\n"
    'ann@x.org,007,+4911111111,2,"Markt ""Mitte""","Zoë, M."\nbob@x.org,007,,,,\n'
)


def test_contacts_show_finds_by_each_key(importing: Importing, settings: Settings) -> None:
    importing.seed(SEED)
    found = engage_etl(settings, "contacts", "show", "--email", "ANN@x.org", "--history", "--json").json
    assert len(found) == 1
    assert [name for name in found[0] if name in FIELDS] == FIELDS
    assert found[0]["title"] == 2 and found[0]["nickname"] is None
    assert found[0]["custom"] == {"Favourite shop": 'Markt "Mitte"'} and found[0]["groups"] == ["Newsletter"]
    assert list(found[0]["history"][0])[:4] == ["import_id", "row", "at", "changes"]
    by_number = engage_etl(settings, "contacts", "show", "--mobile", "4911111111", "--json").json
    assert [contact["contact_id"] for contact in by_number] == [found[0]["contact_id"]]
    assert len(engage_etl(settings, "contacts", "show", "--identifier", "007", "--json").json) == 2
    assert engage_etl(settings, "contacts", "show", "--identifier", "7", "--json").json == []


def test_imports_report_writes_a_report_anew(importing: Importing, settings: Settings) -> None:
    entry = importing.seed(SEED)
    folder = settings.report_dir(entry.import_id)
    written = {file.name: file.read_bytes() for file in folder.iterdir()}
    shutil.rmtree(folder)
    ended = engage_etl(settings, "imports", "report", entry.import_id)
    assert (ended.code, ended.out) == (0, f"{folder}\n")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == written


def test_an_import_on_its_way_has_no_report_yet(importing: Importing, settings: Settings) -> None:
    entry = importing.plan(SEED)
    ended = engage_etl(settings, "imports", "report", entry.import_id)
    assert ended.code == 2 and "is planned; its report is written when it has ended" in ended.err


def test_contacts_show_wants_exactly_one_key(store: Store, settings: Settings) -> None:
    ended = engage_etl(settings, "contacts", "show", "--json")
    assert (ended.code, ended.json["error"]["code"]) == (2, "usage_error")


def test_an_export_imports_again_without_a_change(importing: Importing, settings: Settings, tmp_path: Path) -> None:
    importing.seed(SEED)
    file = tmp_path / "all.csv"
    assert engage_etl(settings, "contacts", "export", file).code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    again = importing(file, use_external_identifier=False)
    assert (again.rows, again.unchanged) == (2, 2)


def test_an_export_to_parquet_has_the_same_columns(importing: Importing, settings: Settings, tmp_path: Path) -> None:
    importing.seed(SEED)
    file = tmp_path / "all.parquet"
    assert engage_etl(settings, "contacts", "export", file, "--group", "newsletter").code == 0
    table = pq.read_table(file).to_pylist()
    assert [row["user.Email"] for row in table] == ["ann@x.org", "bob@x.org"]
    assert table[0]["user.CustomAttribute['Favourite shop']"] == 'Markt "Mitte"'


def test_an_export_of_another_ending_is_refused(store: Store, settings: Settings, tmp_path: Path) -> None:
    ended = engage_etl(settings, "contacts", "export", tmp_path / "all.xlsx")
    assert ended.code == 2 and "neither CSV nor Parquet" in ended.err


def test_an_export_of_an_unknown_group_is_wrong_usage(importing: Importing, settings: Settings, tmp_path: Path) -> None:
    ended = engage_etl(settings, "contacts", "export", tmp_path / "all.csv", "--group", "Nwsletter")
    assert (ended.code, ended.err) == (
        2,
        "Error: There is no group 'Nwsletter'; `engage-etl groups list` names those there are. "
        "Did you mean 'Newsletter'?\n",
    )
    assert list(tmp_path.glob("*.csv")) == []


def test_groups_are_created_once_regardless_of_case(store: Store, settings: Settings) -> None:
    assert engage_etl(settings, "groups", "create", "Customers").code == 0
    again = engage_etl(settings, "groups", "create", "CUSTOMERS", "--json")
    assert (again.code, again.json["error"]["code"]) == (2, "group_exists")
    assert engage_etl(settings, "groups", "list", "--json").json == [{"name": "Customers", "members": 0}]


def test_db_status_and_env_name_the_store(store: Store, settings: Settings) -> None:
    status = engage_etl(settings, "db", "status", "--json").json
    assert status["schema"] == status["program"] and status["store"] == "external"
    names = [line.split("=")[0] for line in engage_etl(settings, "env").out.splitlines()]
    for name in ("DAGSTER_HOME", "ENGAGE_DATA_DIR", "PGHOST", "PGUSER", "PGDATABASE", "ENGAGE_DBT_ROLE"):
        assert f"export {name}" in names


def test_db_status_says_where_the_server_is_not_as_recommended(store: Store, settings: Settings) -> None:
    listed = engage_etl(settings, "db", "status", "--server-memory", "64GB", "--json").json["settings"]
    [buffers] = [one for one in listed if one["name"] == "shared_buffers"]
    assert (buffers["value"], buffers["recommended"]) == ("256MB", "at least 8192MB")
    shown = engage_etl(settings, "db", "status", "--server-memory", "64GB")
    assert buffers["reason"] in shown.out and "docs/server-settings.md" in shown.err
    wrong = engage_etl(settings, "db", "status", "--server-memory", "64", "--json")
    assert (wrong.code, wrong.json["error"]["code"]) == (2, "usage_error")
    assert "--server-memory '64' does not fit; expected an amount as in 64GB" in wrong.json["error"]["message"]


def test_an_unknown_import_is_wrong_usage(store: Store, settings: Settings) -> None:
    ended = engage_etl(settings, "imports", "show", "nope", "--json")
    assert (ended.code, ended.json["error"]["code"]) == (2, "import_unknown")


def test_help_loads_neither_dagster_nor_pandas_nor_sqlalchemy() -> None:
    code = (
        "import sys; sys.argv = ['engage-etl', 'import', '--help']\n"
        "from engage_etl.cli.main import app\n"
        "try: app()\nexcept SystemExit: pass\n"
        "print(sorted({'dagster', 'pandas', 'sqlalchemy'} & set(sys.modules)), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr.strip() == "[]"
