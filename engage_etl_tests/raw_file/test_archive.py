"""R27, R28: the bytes of an arrival are kept unchanged, with size and SHA-256, for their owner only."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from engage_etl.errors import FileError, FileErrorCode
from engage_etl.raw_file.archive import archive_bytes
from engage_etl.raw_file.stage import archive_raw_file
from engage_etl.store.imports import find_file
from engage_etl_tests.importing import Importing


@pytest.mark.parametrize("content", [b"", b"a\r\nb\0\xff\xfe", os.urandom(3 * 1024 * 1024 + 1)])
def test_r28_the_bytes_are_unchanged(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "contacts.csv"
    source.write_bytes(content)
    kept = archive_bytes(source, tmp_path / "import", "contacts.csv")
    assert kept.path == tmp_path / "import" / "raw" / "contacts.csv"
    assert kept.path.read_bytes() == content == source.read_bytes()
    assert (kept.sha256, kept.bytes) == (hashlib.sha256(content).hexdigest(), len(content))


def test_r28_r41_only_the_owner_can_read_them(tmp_path: Path) -> None:
    source = tmp_path / "contacts.csv"
    source.write_bytes(b"x")
    source.chmod(0o666)
    kept = archive_bytes(source, tmp_path / "import", "contacts.csv").path
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (kept, kept.parent, kept.parent.parent)]
    assert modes == [0o600, 0o700, 0o700]
    assert list(kept.parent.iterdir()) == [kept]


def test_r28_archiving_again_takes_the_bytes_that_are_there_now(tmp_path: Path) -> None:
    source = tmp_path / "contacts.csv"
    for content in (b"first and long", b"second"):
        source.write_bytes(content)
        kept = archive_bytes(source, tmp_path / "import", "contacts.csv")
        assert kept.path.read_bytes() == content


def test_r28_what_a_killed_process_left_is_written_over(tmp_path: Path) -> None:
    source = tmp_path / "contacts.csv"
    source.write_bytes(b"new")
    (tmp_path / "import" / "raw").mkdir(parents=True)
    (tmp_path / "import" / "raw" / "contacts.csv.part").write_bytes(b"much longer than new")
    assert archive_bytes(source, tmp_path / "import", "contacts.csv").path.read_bytes() == b"new"


def test_r28_the_kept_bytes_stand_in_for_a_source_that_is_gone(tmp_path: Path) -> None:
    source = tmp_path / "contacts.csv"
    source.write_bytes(b"x")
    kept = archive_bytes(source, tmp_path / "import", "contacts.csv")
    assert archive_bytes(kept.path, tmp_path / "import", "contacts.csv") == kept


@pytest.mark.parametrize("is_folder", [False, True])
def test_r27_a_missing_file_or_a_folder(tmp_path: Path, is_folder: bool) -> None:
    source = tmp_path / "contacts.csv"
    if is_folder:
        source.mkdir()
    with pytest.raises(FileError) as raised:
        archive_bytes(source, tmp_path / "import", "contacts.csv")
    assert raised.value.code is FileErrorCode.FILE_MISSING
    assert str(source) in str(raised.value)


def test_r28_the_register_knows_size_hash_and_place(importing: Importing) -> None:
    content = b"user.Identifier\n1\n"
    import_id = importing.register(content)
    record = archive_raw_file(importing.store, import_id)
    with importing.store.engine.connect() as connection:
        assert find_file(connection, import_id) == record
    assert (record.bytes, record.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert (importing.store.settings.root / record.archived_path).read_bytes() == content
    assert record.arrived_at == importing.entry(import_id).received_at


def test_r28_the_stage_can_be_repeated_when_the_source_is_gone(importing: Importing) -> None:
    import_id = importing.register(b"user.Identifier\n1\n")
    first = archive_raw_file(importing.store, import_id)
    (importing.folder / "contacts.csv").unlink()
    assert archive_raw_file(importing.store, import_id) == first


def test_r22_a_group_that_does_not_exist_stops_before_anything_is_read(importing: Importing) -> None:
    import_id = importing.register(b"user.Identifier\n1\n", group="Nobody")
    with pytest.raises(FileError) as raised:
        archive_raw_file(importing.store, import_id)
    assert raised.value.code is FileErrorCode.GROUP_UNKNOWN
    assert not importing.store.settings.import_dir(import_id).exists()
