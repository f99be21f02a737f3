"""Over a network, encrypted, with the server's name and certificate verified: the store, Dagster's tables, dbt."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlencode

import pytest
from sqlalchemy import make_url

from engage_etl.errors import StoreUnavailable
from engage_etl.settings import Settings
from engage_etl.store.engine import (
    connection_facts,
    dagster_database_url,
    open_store,
    store_status,
    upgrade_store,
)
from engage_etl.store.outages import is_connection_lost
from engage_etl_tests.cli.commands import engage_etl
from engage_etl_tests.external.certificates import Authority, make_authority
from engage_etl_tests.external.conftest import IMPORTER
from engage_etl_tests.external.servers import Server
from engage_etl_tests.importing import GROUP, Importing
from engage_etl_tests.marts.building import build_with_dbt_alone, read


@pytest.fixture
def root(authority: Authority, tmp_path: Path) -> Path:
    """The certificate of the authority that signed the server's."""
    file = tmp_path / "root.crt"
    file.write_bytes(authority.certificate)
    return file


def over_network(settings: Settings, debian: Server, host: str = "127.0.0.1", **query: object) -> Settings:
    """The same installation over the network. query: of the address."""
    database = str(make_url(settings.database_url or "").database)
    url = f"{debian.network_url(IMPORTER, database, host)}?{urlencode(query)}"
    return settings.model_copy(update={"database_url": url})


def test_imports_and_marts(settings: Settings, debian: Server, root: Path, tmp_path: Path) -> None:
    verified = over_network(settings, debian, sslmode="verify-full", sslrootcert=root)
    said_before = len(debian.log.read_text())
    facts = connection_facts(verified)
    assert (facts["PGSSLMODE"], facts["PGSSLROOTCERT"]) == ("verify-full", str(root))
    with open_store(verified) as store:
        Importing.prepare(store, tmp_path / "files")
        source = tmp_path / "crm.csv"
        source.write_text("user.Email,user.Identifier\nann@x.org,1\n")
        ended = engage_etl(verified, "import", source, "--group", GROUP, "--use-external-identifier", "--json")
        assert (ended.code, ended.json["status"]) == (0, "applied"), ended.err
        build_with_dbt_alone(store, tmp_path)
        assert [row["email"] for row in read(store)["contact_current"]] == ["ann@x.org"]
    connections = authorized(debian.log.read_text()[said_before:])
    for whose in ("application_name=engage-etl", f"database={settings.dagster_database}", "application_name=dbt"):
        assert any(whose in connection for connection in connections), whose
    assert [connection for connection in connections if "SSL enabled" not in connection] == []


def authorized(log: str) -> list[str]:
    """What the server says about each connection of the importer, after its name."""
    return re.findall(r"connection authorized: user=importer (.*)", log)


@pytest.mark.parametrize("use", [open_store, upgrade_store, dagster_database_url])
def test_another_authority(settings: Settings, debian: Server, tmp_path: Path, use: object) -> None:
    file = tmp_path / "other.crt"
    file.write_bytes(make_authority("Somebody else").certificate)
    with pytest.raises(
        StoreUnavailable, match=r"not proven to be the right one \(.*certificate verify failed"
    ) as raised:
        use(over_network(settings, debian, sslmode="verify-full", sslrootcert=file))  # type: ignore[operator]
    assert not is_connection_lost(raised.value), "to try again is of no use"


def test_another_name_than_that_of_the_certificate(settings: Settings, debian: Server, root: Path) -> None:
    other = {"sslmode": "verify-full", "sslrootcert": root, "hostaddr": "127.0.0.1"}
    with pytest.raises(StoreUnavailable, match=r"not proven to be the right one .*does not match host name"):
        open_store(over_network(settings, debian, "db.example", **other))


def test_a_certificate_that_is_not_there(settings: Settings, debian: Server, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"root certificate file .* does not exist"):
        open_store(over_network(settings, debian, sslmode="verify-full", sslrootcert=tmp_path / "nothing"))


def test_a_command_says_it_in_a_sentence(settings: Settings, debian: Server, tmp_path: Path) -> None:
    file = tmp_path / "other.crt"
    file.write_bytes(make_authority("Somebody else").certificate)
    ended = engage_etl(over_network(settings, debian, sslmode="verify-full", sslrootcert=file), "imports", "list")
    assert ended.code == 1 and "is not proven to be the right one" in ended.err and "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("verify-full", "yes, and the server is verified"),
        ("verify-ca", "not its name; sslmode=verify-full does both"),
        ("require", "yes, but nobody has checked who the server is (sslmode=require)"),
        ("disable", "no (sslmode=disable); anybody on the way can read"),
    ],
)
def test_the_status_says_how_the_connection_is_encrypted(
    settings: Settings, debian: Server, root: Path, mode: str, said: str
) -> None:
    query = {"sslmode": mode} | ({"sslrootcert": root} if mode.startswith("verify") else {})
    assert said in store_status(over_network(settings, debian, **query))["encryption"]


def test_a_socket_needs_none(settings: Settings) -> None:
    assert store_status(settings)["encryption"] == "none, a socket of this machine"
