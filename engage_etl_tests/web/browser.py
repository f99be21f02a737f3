"""Debian's Chromium, driven by Playwright: what it shows, what it asks for, and pictures of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, FloatRect, Locator, Page, ViewportSize, expect, sync_playwright

SCREENSHOTS = Path(__file__).parents[2] / "artefacts" / "screenshots"
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_MISSING = "no Chromium is installed: `apt-get install chromium`"
_SIZE = ViewportSize(width=1280, height=800)
_LONGEST = 60_000.0
"""Milliseconds after which the page is held to show something no more."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser; without one tests are skipped, under CI they fail. Playwright would download its own; it may not."""
    installed = next(filter(None, map(shutil.which, _NAMES)), None)
    if installed is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(_MISSING)
    # Chromium's sandbox refuses root. Containers have little shared memory.
    arguments = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    expect.set_options(timeout=_LONGEST)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A window of a browser: what its pages asked for and complained about.

    site: the address of the web server; color_scheme: light or dark.
    """

    def __init__(self, browser: Browser, site: str, color_scheme: str = "light") -> None:
        self.context: BrowserContext = browser.new_context(
            base_url=site, viewport=_SIZE, color_scheme=color_scheme, locale="en-GB", timezone_id="UTC"
        )
        self.context.set_default_timeout(_LONGEST)
        self.requests: list[str] = []
        self.color_scheme = color_scheme
        self._complaints: list[tuple[str, str]] = []
        self._site = site
        self.context.on("request", lambda request: self.requests.append(request.url))
        self.context.on("weberror", lambda error: self._note(error.page, str(error.error)))
        self.context.on("console", lambda line: self._note(line.page, line.text))

    def open(self, path: str) -> Page:
        """A new tab."""
        page = self.context.new_page()
        page.goto(path)
        return page

    def _note(self, page: Page | None, text: str) -> None:
        self._complaints.append((page.url if page else "", text))

    def complaints_about(self, path: str) -> list[str]:
        """What a page wrote to the console: errors, what its security policy forbade, and all else."""
        return [text for url, text in self._complaints if urlsplit(url).path == path]

    def asked_elsewhere(self) -> list[str]:
        """What the pages asked of other servers than ours."""
        site = urlsplit(self._site).netloc
        return [url for url in self.requests if urlsplit(url).netloc not in {site, ""}]

    def keep_pictures(self, name: str) -> None:
        """Screenshots of all tabs, from top to bottom, for a test that failed."""
        for number, page in enumerate(self.context.pages, start=1):
            picture(page, f"failed-{name}-{number}", full_page=True)


_LOWEST_TOP = """
text => {
  const tops = [0], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const at = walker.currentNode.data.indexOf(text), range = document.createRange();
    if (at < 0) continue;
    range.setStart(walker.currentNode, at);
    range.setEnd(walker.currentNode, at + text.length);
    tops.push(range.getBoundingClientRect().top);
  }
  return Math.max(...tops.filter(top => top < innerHeight));
}
"""


def picture(page: Page, name: str, *, full_page: bool = False, above: str = "") -> None:
    """Keep a screenshot as ``artefacts/screenshots/<name>.png``; ``above``: the text above whose last place it ends."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    # Where the mouse was left, a hint may hide what the picture is for.
    page.mouse.move(0, 0)
    bottom = float(page.evaluate(_LOWEST_TOP, above)) if above else 0.0
    clip = FloatRect(x=0, y=0, width=_SIZE["width"], height=bottom - 4) if bottom else None
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=full_page, clip=clip, animations="disabled")


def entry_of(page: Page, text: str, link: str) -> Locator:
    """The entry of a list that has the text and a link of that name: lists of Dagster are no tables."""
    return page.get_by_text(text, exact=True).locator(f"xpath=ancestor::*[.//a[normalize-space()='{link}']][1]")


def metadata(page: Page, name: str) -> Locator:
    """The value beside a name in a table of metadata."""
    named = page.get_by_role("row").filter(has=page.get_by_role("cell", name=name, exact=True))
    return named.first.get_by_role("cell").nth(1)
