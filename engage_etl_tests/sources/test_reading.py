"""R28: what lies elsewhere is read in a stream, whatever its size, and kept unchanged; archives are looked into there."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
from collections.abc import Callable
from dataclasses import replace

import pytest

from engage_etl.errors import SourceUnavailable
from engage_etl.raw_file.stage import archive_raw_file
from engage_etl.settings import Settings
from engage_etl.stage_run import import_stage
from engage_etl.store.groups import create_group
from engage_etl.store.imports import Import
from engage_etl_tests.importing import Importing
from engage_etl_tests.scenarios.forking import Forking, forking
from engage_etl_tests.sources.dropping import OPTIONS, Drops
from engage_etl_tests.sources.services import Bucket, SftpServer, keyring

MEBIBYTE = 1024 * 1024
HEADER = b"user.Identifier,user.Email\n"
MAY_TAKE = 40
"""Mebibytes by which the peak may differ between a small file and one of 100 MB: some blocks and what was loaded."""


def content(size: int) -> bytes:
    line = b"1234567,somebody.with.a.name@example.org,\n"
    return HEADER + line * (size // len(line))


def peaks(drops: Drops, put: Callable[[str, bytes], object], process: Forking) -> list[int]:
    """Mebibytes that archiving a small file and one of 100 MB took at the most; both are kept unchanged."""
    with drops.store.engine.begin() as connection:
        create_group(connection, OPTIONS.group)
    found = []
    for name, size in (("small.csv", MEBIBYTE), ("large.csv", 100 * 1000 * 1000)):
        given = content(size)
        put(name, given)
        [entry] = drops.take()
        found.append(process.run_whole(drops.store.settings, entry.import_id, ("archive_raw_file",)).peak // 1024)
        kept = drops.store.settings.import_dir(entry.import_id) / "raw" / name
        with kept.open("rb") as file:
            assert hashlib.file_digest(file, "sha256").digest() == hashlib.sha256(given).digest()
        assert kept.stat().st_mode & 0o777 == 0o600
        kept.unlink()
    return found


def test_r28_100_mb_from_s3_in_a_stream(s3_drops: Drops, bucket: Bucket) -> None:
    with forking() as process:
        small, large = peaks(s3_drops, lambda name, given: bucket.put(f"in/{name}", given), process)
    assert large - small < MAY_TAKE


def test_r28_100_mb_from_sftp_in_a_stream(sftp_drops: Drops, sftp: SftpServer) -> None:
    with forking() as process:
        small, large = peaks(sftp_drops, lambda name, given: (sftp.folder / name).write_bytes(given), process)
    assert large - small < MAY_TAKE


def archive() -> bytes:
    text = io.BytesIO()
    with zipfile.ZipFile(text, "w") as writing:
        writing.writestr("a.csv", "user.Identifier,user.Email\n1,a@x.org\n")
        writing.writestr("b.csv", "user.Identifier,user.Email\n2,b@x.org\n")
    return text.getvalue()


def run_all(drops: Drops, importing: Importing, entries: list[Import]) -> list[Import]:
    there = replace(importing, store=drops.store)
    return [there.run(entry.import_id) for entry in entries]


@pytest.mark.parametrize("kind", ["s3", "sftp"])
def test_r26_an_archive_is_looked_into_at_its_source(
    request: pytest.FixtureRequest, importing: Importing, kind: str
) -> None:
    drops: Drops = request.getfixturevalue(f"{kind}_drops")
    if kind == "s3":
        request.getfixturevalue("bucket").put("in/all.zip", archive())
    else:
        (request.getfixturevalue("sftp").folder / "all.zip").write_bytes(archive())
    entries = drops.take()
    assert [entry.file for entry in entries] == ["all.zip/a.csv", "all.zip/b.csv"]
    ended = run_all(drops, importing, entries)
    assert [entry.status for entry in ended] == ["applied", "applied"]
    settled = f"{drops.source}/done/crm/{entries[0].import_id}/all.zip"
    assert {drops.entry(entry.import_id).settled_path for entry in entries} == {settled}
    assert importing.column("email") == [("a@x.org",), ("b@x.org",)]


def test_a_whole_import_from_s3(s3_drops: Drops, bucket: Bucket, importing: Importing) -> None:
    bucket.put("in/contacts.csv")
    [ended] = run_all(s3_drops, importing, s3_drops.take())
    assert (ended.status, ended.created) == ("applied", 1)
    assert bucket.list_keys() == [f"in/done/crm/{ended.import_id}/contacts.csv"]


def test_an_encrypted_object(s3_drops: Drops, bucket: Bucket, importing: Importing) -> None:
    with keyring("import@example.org") as key:
        encrypted = key.encrypt(gzip.compress(HEADER + b"1,a@x.org\n"))
        bucket.put("in/contacts.csv.gz.gpg", encrypted)
        settings = s3_drops.store.settings.model_copy(update={"gnupg_home": key.home})
        s3_drops.store = replace(s3_drops.store, settings=settings)
        [ended] = run_all(s3_drops, importing, s3_drops.take())
    assert (ended.status, ended.created) == ("applied", 1)
    assert bucket.get(f"in/done/crm/{ended.import_id}/contacts.csv.gz.gpg") == encrypted


def test_a_stage_that_is_run_again_does_not_ask_the_source(
    s3_drops: Drops, bucket: Bucket, importing: Importing
) -> None:
    bucket.put("in/contacts.csv")
    [entry] = s3_drops.take()
    with import_stage(s3_drops.store, entry.import_id):
        first = archive_raw_file(s3_drops.store, entry.import_id)
    for key in bucket.list_keys():
        bucket.client.delete_object(Bucket=bucket.name, Key=key)
    with import_stage(s3_drops.store, entry.import_id):
        assert archive_raw_file(s3_drops.store, entry.import_id) == first


def test_a_source_that_is_silent_leaves_the_import_as_it_is(
    s3_drops: Drops, bucket: Bucket, importing: Importing, s3_settings: Settings
) -> None:
    bucket.put("in/contacts.csv")
    [entry] = s3_drops.take()
    silent = s3_settings.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:1", "remote_timeout": 1})
    store = replace(s3_drops.store, settings=silent)
    with pytest.raises(SourceUnavailable, match="does not answer"), import_stage(store, entry.import_id):
        archive_raw_file(store, entry.import_id)
    assert s3_drops.entry(entry.import_id) == entry
