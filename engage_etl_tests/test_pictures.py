"""The pictures of the documentation are those that `make screenshots` takes, are small, and are shown, with words for who sees none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engage_etl_tests.test_docs import PAGES, ROOT, from_docs

PICTURES = sorted((ROOT / "docs" / "images").iterdir())
SHOWN = [(page, *found) for page in PAGES for found in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", page.read_text())]
LARGEST = 150_000


def test_all_are_taken_from_the_browser_tests() -> None:
    assert [picture.stem for picture in PICTURES] == sorted(from_docs("screenshots").CHOSEN)


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.stem)
def test_it_is_small_and_shown(picture: Path) -> None:
    assert picture.stat().st_size < LARGEST
    assert picture in {page.parent / path for page, _, path in SHOWN}


def test_each_has_words_for_who_does_not_see_it() -> None:
    assert [path for _, words, path in SHOWN if len(words) < 20] == []
