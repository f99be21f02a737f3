"""``engage-etl up``: the web page is for this machine unless told otherwise, and then it says what that means."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from engage_etl.cli import service_commands
from engage_etl.errors import StoreUnavailable, UsageError
from engage_etl.settings import Settings
from engage_etl.triggers.run_queue import USER, started_by
from engage_etl.triggers.service import WebAddress, run_service
from engage_etl_tests.scenarios.service import free_port


def said(web: WebAddress, folder: Path) -> list[str]:
    """What is said before the store, of which there is none, is opened."""
    told: list[str] = []
    settings = Settings(data_dir=folder, database_url="postgresql://nobody@127.0.0.1:1/none", connect_timeout=1)
    with pytest.raises(StoreUnavailable):
        run_service(settings, web, say=told.append)
    return told


def test_the_loopback_interface_is_the_default() -> None:
    assert inspect.signature(service_commands.up).parameters["host"].default == "127.0.0.1"
    assert WebAddress().host == "127.0.0.1"
    assert [WebAddress(host).is_private for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost")] == [True] * 4
    assert [WebAddress(host).is_private for host in ("0.0.0.0", "::", "10.1.2.3", "etl.example.com", "")] == [False] * 5


def test_another_host_is_warned_of_with_what_to_do(tmp_path: Path) -> None:
    [warning] = said(WebAddress("0.0.0.0", free_port()), tmp_path)
    assert warning.startswith("WARNING: the web UI listens on 0.0.0.0 and has no passwords")
    assert "Leave --host out" in warning and "docs/security.md" in warning
    assert "## A reverse proxy" in (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    assert said(WebAddress("127.0.0.1", free_port()), tmp_path) == []


def test_two_web_servers_need_two_ports(tmp_path: Path) -> None:
    port = free_port()
    with pytest.raises(UsageError, match="--viewers-port are both"):
        run_service(Settings(data_dir=tmp_path), WebAddress(port=port, viewers_port=port), say=print)


def test_a_name_from_the_proxy_counts_before_one_that_was_typed() -> None:
    assert started_by({}, "Cem") == "Cem"
    assert started_by({USER: "ann"}, "Cem") == "ann"
    with pytest.raises(UsageError, match="has not said who"):
        started_by({USER: ""}, "Cem")
