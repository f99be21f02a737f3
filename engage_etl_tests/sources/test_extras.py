"""Libraries that come with an extra: without them there is a sentence that says what to install."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from engage_etl.errors import SourceUnavailable
from engage_etl.settings import Settings
from engage_etl.sources.opening import Sources
from engage_etl.vocabulary.locations import source_location


@pytest.mark.parametrize(
    ("library", "url", "extra"), [("s3fs", "s3://bucket/in", "s3"), ("paramiko", "sftp://ann@host/in", "sftp")]
)
def test_a_library_that_lacks(monkeypatch: pytest.MonkeyPatch, library: str, url: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with (
        Sources(Settings()) as sources,
        pytest.raises(SourceUnavailable, match=rf"pip install 'engage-etl\[{extra}\]'"),
    ):
        sources.at(source_location(url, Path()))
