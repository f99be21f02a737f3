"""One browser and one running service for the tests of this folder, and a picture of what a failed test saw."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator

import pytest
from playwright.sync_api import Browser

from engage_etl_tests.conftest import own_store
from engage_etl_tests.own_dagster import own_dagster
from engage_etl_tests.web.browser import Watched, chromium
from engage_etl_tests.web.office import Office, opened

_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell the fixtures of a test that it failed."""
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def office(browser: Browser, server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """An installation with contacts and drop folders, and ``engage-etl up``; only where there is a browser."""
    folder = tmp_path_factory.mktemp("office")
    with own_store(server, folder / "data") as own, own_dagster(own) as settings, opened(settings, folder) as office:
        yield office


@pytest.fixture
def window(request: pytest.FixtureRequest, browser: Browser, office: Office) -> Iterator[Watched]:
    """A window on the service; none of its pages may ask another server for anything."""
    yield from _watched(request, Watched(browser, office.service.address))


@pytest.fixture(params=["light", "dark"])
def coloured_window(request: pytest.FixtureRequest, browser: Browser, office: Office) -> Iterator[Watched]:
    """Such a window of people who like it light, or dark."""
    yield from _watched(request, Watched(browser, office.service.address, request.param))


def _watched(request: pytest.FixtureRequest, window: Watched) -> Iterator[Watched]:
    try:
        yield window
        if request.node.stash.get(_FAILED, False):
            window.keep_pictures(re.sub(r"\W+", "-", request.node.name).strip("-"))
    finally:
        window.context.close()
    assert window.asked_elsewhere() == []
