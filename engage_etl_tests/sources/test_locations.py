"""What ``source:`` may be, and that passwords in it are refused without being repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from engage_etl.triggers.automations import load_automations
from engage_etl.vocabulary.locations import RemoteLocation, is_remote, read_location, source_location
from engage_etl_tests.sources.services import SECRET

BASE = Path("/srv/data")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("drop/crm", "/srv/data/drop/crm"),
        ("/srv/crm", "/srv/crm"),
        ("s3://bucket", "s3://bucket/"),
        ("s3://bucket/", "s3://bucket/"),
        ("S3://bucket/some/prefix/", "s3://bucket/some/prefix"),
        ("sftp://ann@Host.example.com/in", "sftp://ann@host.example.com/in"),
        ("sftp://ann@host:22/in", "sftp://ann@host/in"),
        ("sftp://ann@host:2222/in/deep/", "sftp://ann@host:2222/in/deep"),
        ("sftp://ann@[::1]:2222/in", "sftp://ann@[::1]:2222/in"),
    ],
)
def test_sources(text: str, expected: str) -> None:
    location = source_location(text, BASE)
    assert str(location) == expected
    assert is_remote(expected) is isinstance(location, RemoteLocation)
    assert read_location(str(location)) == location


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"sftp://ann:{SECRET}@host/in", "there is a password or key in the address"),
        (f"sftp://ann:{SECRET}/x@host/in", "there is a password or key in the address"),
        (f"s3://KEY:{SECRET}@bucket/in", "there is a password or key in the address"),
        (f"s3://{SECRET}@bucket/in", "there is a password or key in the address"),
        (f"s3://bucket/in?signature={SECRET}", "the address has a ? or #"),
        (f"https://ann:{SECRET}@host/in", "https:// is no source"),
        ("sftp://host/in", "expected user and host"),
        ("sftp://ann@host:0/in", "expected user and host"),
        ("sftp://ann@host:70000/in", "expected user and host"),
        ("s3:///in", "expected a bucket"),
        ("s3://bucket/a/../b", "empty parts"),
        ("s3://bucket//a//b", "empty parts"),
    ],
)
def test_what_is_no_source(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "automations.yaml"
    file.write_text(f'automations:\n  - name: a\n    group: G\n    source: "{text}"\n')
    right, [error] = load_automations(file, tmp_path)
    assert right == []
    assert str(error).startswith("automations.yaml, line 4: the source does not fit: ")
    assert expected in str(error)
    assert SECRET not in str(error)


def test_two_automations_may_not_share_a_source_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "automations.yaml"
    sources = ["sftp://a@host/in", "sftp://a@HOST:22/in/"]
    entries = "".join(f"  - name: a{place}\n    group: G\n    source: {url}\n" for place, url in enumerate(sources))
    file.write_text(f"automations:\n{entries}")
    [first], [error] = load_automations(file, tmp_path)
    assert first.name == "a0" and "has the same source" in str(error)


def test_parts_of_a_location() -> None:
    file = source_location("s3://bucket/in", BASE) / ".claimed" / "id" / "a?#.csv"
    assert (file.name, str(file.parent.parent.parent)) == ("a?#.csv", "s3://bucket/in")
    assert read_location(str(file)) == file
    top = source_location("s3://bucket", BASE) / "a.csv"
    assert (str(top), top.parent) == ("s3://bucket/a.csv", source_location("s3://bucket", BASE))
    assert source_location("sftp://ann@[::1]:2222/in", BASE).server == ("ann", "::1", 2222)
