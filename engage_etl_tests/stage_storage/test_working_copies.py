"""Copies of what is in a bucket: verified, handed over whole, private, and gone afterwards."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engage_etl.errors import SourceUnavailable, UsageError
from engage_etl.settings import Settings, load_settings
from engage_etl.stage_storage import objects
from engage_etl.stage_storage.kept_files import open_kept_files
from engage_etl.stage_storage.working_copies import WorkingCopies
from engage_etl_tests.sources.services import Bucket

HOLDS_ITS_COPIES = """
import sys, time
from engage_etl.settings import load_settings
from engage_etl.stage_storage.kept_files import open_kept_files
print(open_kept_files(load_settings()).root, flush=True)
time.sleep(600)
"""


def copies(bucket: Bucket, folder: Path) -> WorkingCopies:
    kept = open_kept_files(
        Settings(data_dir=folder, storage_url=f"s3://{bucket.name}/engage", s3_endpoint_url=bucket.endpoint)
    )
    assert isinstance(kept, WorkingCopies)
    return kept


@pytest.fixture
def one(bucket: Bucket, tmp_path: Path) -> Iterator[WorkingCopies]:
    with closing(copies(bucket, tmp_path / "one")) as made:
        yield made


@pytest.fixture
def other(bucket: Bucket, tmp_path: Path) -> Iterator[WorkingCopies]:
    with closing(copies(bucket, tmp_path / "other")) as made:
        yield made


def write(kept: WorkingCopies, name: str, content: bytes) -> Path:
    path = kept.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("size", [0, 1, 2999, 3000, 3001, 10_000])
def test_what_one_machine_hands_over_another_fetches(
    one: WorkingCopies, other: WorkingCopies, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "BLOCK", 3000)
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1)
    content = os.urandom(size)
    one.publish(write(one, "imports/a.b/raw/größe 1.csv", content))
    fetched = other.fetched(other.root / "imports/a.b/raw/größe 1.csv")
    assert fetched.read_bytes() == content
    assert stat.S_IMODE(fetched.stat().st_mode) == 0o600 and stat.S_IMODE(other.root.stat().st_mode) == 0o700


def test_a_folder_is_handed_over_with_what_is_gone_from_it(one: WorkingCopies, other: WorkingCopies) -> None:
    folder = write(one, "reports/a/rejected.csv", b"old").parent
    write(one, "reports/a/page.html", b"page")
    write(one, "reports/a.b/page.html", b"of another import")
    one.publish(folder)
    one.publish(one.root / "reports/a.b")
    there = other.fetched(other.root / "reports/a")
    (folder / "page.html").unlink()
    (folder / "rejected.csv").write_bytes(b"new")
    one.publish(folder)
    assert other.size_of(there) == (1, 3)
    other.fetched(there)
    assert {file.name: file.read_bytes() for file in there.iterdir()} == {"rejected.csv": b"new"}
    assert other.size_of(other.root / "reports/a.b") == (1, 17)


def test_a_copy_that_is_the_same_is_not_fetched_again(
    one: WorkingCopies, other: WorkingCopies, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.publish(write(one, "imports/a/valid.parquet", b"rows"))
    copy = other.fetched(other.root / "imports/a/valid.parquet")
    monkeypatch.setattr(objects.KeptObjects, "get", lambda *_: pytest.fail("fetched again"))
    assert other.fetched(copy).read_bytes() == b"rows"
    assert one.fetched(one.root / "imports/a/valid.parquet").read_bytes() == b"rows"


def test_of_several_files_the_last_stands_for_all(one: WorkingCopies, other: WorkingCopies, bucket: Bucket) -> None:
    rows, summary = write(one, "imports/a/valid.parquet", b"rows"), write(one, "imports/a/stage.json", b"{}")
    one.publish(rows, summary)
    rows.write_bytes(b"other rows")
    put, order = objects.KeptObjects.put, []

    def killed(self: objects.KeptObjects, file: Path, target: objects.RemoteLocation) -> str:
        order.append((target.name, bucket.list_keys()))
        return put(self, file, target)

    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(objects.KeptObjects, "put", killed)
        one.publish(rows, summary)
    assert order == [
        ("valid.parquet", ["engage/imports/a/valid.parquet"]),
        ("stage.json", ["engage/imports/a/valid.parquet"]),
    ]


def test_bytes_that_are_not_what_was_stored_are_refused(
    one: WorkingCopies, other: WorkingCopies, bucket: Bucket
) -> None:
    one.publish(write(one, "imports/a/valid.parquet", b"rows"))
    stored = bucket.client.head_object(Bucket=bucket.name, Key="engage/imports/a/valid.parquet")["Metadata"]
    bucket.client.put_object(Bucket=bucket.name, Key="engage/imports/a/valid.parquet", Body=b"rot!", Metadata=stored)
    with pytest.raises(SourceUnavailable, match=r"valid\.parquet is not what was stored") as refused:
        other.fetched(other.root / "imports/a/valid.parquet")
    assert refused.value.is_passing and not list((other.root / "imports/a").iterdir())


def test_copies_of_a_killed_process_go_with_the_next_start_and_those_of_a_living_stay(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGAGE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("ENGAGE_STORAGE_URL", f"s3://{bucket.name}")
    with subprocess.Popen([sys.executable, "-c", HOLDS_ITS_COPIES], stdout=subprocess.PIPE, text=True) as living:
        assert living.stdout is not None
        folder = Path(living.stdout.readline().strip())
        with closing(open_kept_files(load_settings())) as kept:
            assert kept.root.is_dir() and folder.is_dir()
        living.send_signal(signal.SIGKILL)
    with closing(open_kept_files(load_settings())) as kept:
        assert kept.root.is_dir() and not folder.exists()


def test_a_storage_elsewhere_than_at_s3_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGE_STORAGE_URL", "sftp://ann@example.org/engage")
    with pytest.raises(UsageError, match=r"ENGAGE_STORAGE_URL does not fit: .*a folder or at s3://bucket/prefix"):
        load_settings()


def test_a_bucket_that_is_not_there_is_a_sentence(bucket: Bucket, tmp_path: Path) -> None:
    with (
        closing(copies(Bucket("no-such-bucket", bucket.endpoint, bucket.client), tmp_path)) as kept,
        pytest.raises(SourceUnavailable, match="s3://no-such-bucket: there is no such bucket"),
    ):
        kept.fetched(kept.root / "imports/a")
