"""R26: compressed files; each file in an archive is an import of its own, and bad archives get a sentence."""

from __future__ import annotations

import gzip
import hashlib
import io
import stat
import zipfile
from pathlib import Path

import pytest

from engage_etl.settings import Settings
from engage_etl.store.engine import Store
from engage_etl.store.imports import find_file
from engage_etl_tests.importing import GROUP, STAGES, Importing

CONTENT = b"user.Identifier,user.Email\n1,a@x.org\n"
OTHER = b"user.Identifier,user.Email\n2,b@x.org\n3,nonsense\n"


def archive(file: Path, entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(file, "w", method) as writing:
        for name, content in entries.items():
            writing.writestr(name, content)
    return file


def kept(importing: Importing, import_id: str):
    with importing.store.engine.connect() as connection:
        return find_file(connection, import_id)


def only_error(importing: Importing, file: Path, **options: object) -> tuple[str | None, str]:
    (entry,) = importing.arrive(file, **options)
    assert (entry.status, importing.contacts()) == ("failed", [])
    folder = importing.store.settings.import_dir(entry.import_id)
    assert all(path.resolve().is_relative_to(folder.resolve()) for path in folder.rglob("*"))
    assert not list(folder.rglob("*.part"))
    return entry.error_code, entry.error_message or ""


@pytest.mark.parametrize("name", ["contacts.csv.gz", "contacts", "contacts.csv"])
def test_gzip(importing: Importing, tmp_path: Path, name: str) -> None:
    """By its content, whatever its name says; the bytes that arrived are kept (R28)."""
    file = tmp_path / name
    file.write_bytes(gzip.compress(CONTENT))
    (entry,) = importing.arrive(file)
    assert importing.rows(entry) == [(2, "created", None)]
    record = kept(importing, entry.import_id)
    assert record.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (record.bytes, record.detection["compression"]) == (file.stat().st_size, "gzip")
    raw = importing.store.settings.import_dir(entry.import_id) / "raw" / name
    assert raw.read_bytes() == file.read_bytes()


def test_a_gzip_of_several_members_is_one_file(importing: Importing, tmp_path: Path) -> None:
    file = tmp_path / "contacts.csv.gz"
    file.write_bytes(gzip.compress(CONTENT) + gzip.compress(b"2,b@x.org\n"))
    (entry,) = importing.arrive(file)
    assert importing.rows(entry) == [(2, "created", None), (3, "created", None)]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_with_one_file(importing: Importing, tmp_path: Path, method: int) -> None:
    file = archive(tmp_path / "contacts.zip", {"some folder/März.csv": CONTENT}, method)
    (entry,) = importing.arrive(file)
    assert (entry.file, entry.entry) == ("contacts.zip/some folder/März.csv", "some folder/März.csv")
    assert importing.rows(entry) == [(2, "created", None)]
    record = kept(importing, entry.import_id)
    assert record.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_each_file_of_an_archive_is_an_import_with_its_own_report(importing: Importing, tmp_path: Path) -> None:
    xml = b"<userdata><user><identifier>4</identifier><email>d@x.org</email></user></userdata>"
    entries = {"b.csv": CONTENT, "a/a.csv": OTHER, "c.xml": xml, "d.csv": b"nonsense\n1\n"}
    first, second, third, fourth = importing.arrive(archive(tmp_path / "all.zip", entries))
    assert [entry.entry for entry in (first, second, third, fourth)] == list(entries)
    assert importing.rows(first) == [(2, "created", None)]
    assert importing.rows(second) == [(2, "created", None), (3, "rejected", "address_invalid")]
    assert importing.rows(third) == [(1, "created", None)]
    assert (fourth.status, fourth.error_code) == ("failed", "header_invalid")
    assert importing.messages(second)[3].startswith("all.zip/a/a.csv, row 3: ")
    reports = {importing.store.settings.report_dir(entry.import_id) for entry in (first, second, third, fourth)}
    assert len(reports) == 4 and all((report / "summary.json").exists() for report in reports)
    assert kept(importing, second.import_id).sha256 == hashlib.sha256(OTHER).hexdigest()


def test_what_other_systems_put_into_archives_is_no_import(importing: Importing, tmp_path: Path) -> None:
    entries = {"__MACOSX/._a.csv": b"\0\5", "folder/": b"", ".DS_Store": b"\0", "Thumbs.db": b"x", "a.csv": CONTENT}
    (entry,) = importing.arrive(archive(tmp_path / "mac.zip", entries))
    assert (entry.entry, entry.status) == ("a.csv", "applied")


def test_running_the_stages_again_without_the_source(importing: Importing, tmp_path: Path) -> None:
    file = archive(tmp_path / "all.zip", {"a.csv": CONTENT, "b.csv": OTHER})
    planned = [importing.register(file, name="all.zip", entry=name) for name in ("a.csv", "b.csv")]
    for import_id in planned:
        importing.run(import_id, STAGES[:2])
    file.unlink()
    for import_id in planned:
        assert importing.run(import_id).status == "applied"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("../../outside.csv", "leads out of it"),
        ("/etc/outside.csv", "leads out of it"),
        ("..\\outside.csv", "leads out of it"),
        ("C:\\outside.csv", "leads out of it"),
    ],
)
def test_names_that_lead_out_are_refused(importing: Importing, tmp_path: Path, name: str, told: str) -> None:
    code, message = only_error(importing, archive(tmp_path / "evil.zip", {name: CONTENT, "b.csv": OTHER}))
    assert code == "archive_invalid"
    assert told in message and "evil.zip" in message
    assert not list(tmp_path.rglob("outside.csv"))


def test_links_are_refused(importing: Importing, tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.csv")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as writing:
        writing.writestr(link, "/etc/passwd")
    assert only_error(importing, tmp_path / "link.zip")[0] == "archive_invalid"


@pytest.mark.parametrize(
    "inner",
    [gzip.compress(CONTENT), b"PK\x03\x04rest", b"PK\x05\x06" + b"\0" * 18],
    ids=["gzip", "zip", "empty zip"],  # a gzip has the time in it, and workers would not agree on its name
)
def test_archives_in_archives_are_refused(importing: Importing, tmp_path: Path, inner: bytes) -> None:
    code, message = only_error(importing, archive(tmp_path / "nested.zip", {"inner.zip": inner}))
    assert (code, "holds another archive" in message) == ("archive_invalid", True)
    (tmp_path / "nested.gz").write_bytes(gzip.compress(inner))
    assert only_error(importing, tmp_path / "nested.gz")[0] == "archive_invalid"


def test_encrypted_files_are_refused(importing: Importing, tmp_path: Path) -> None:
    whole = bytearray(archive(tmp_path / "secret.zip", {"a.csv": CONTENT}).read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        whole[whole.index(signature) + flags] |= 1
    (tmp_path / "secret.zip").write_bytes(whole)
    code, message = only_error(importing, tmp_path / "secret.zip")
    assert (code, "is encrypted" in message) == ("archive_invalid", True)


def test_broken_archives(importing: Importing, tmp_path: Path) -> None:
    content = b"user.Identifier,user.Email\n" + b"".join(b"%d,a%d@x.org\n" % (n, n * 7919) for n in range(2000))
    whole = archive(tmp_path / "whole.zip", {"a.csv": content}).read_bytes()
    damaged = bytearray(whole)
    damaged[200:260] = bytes(60)
    packed = gzip.compress(content)
    broken = {
        "cut.zip": whole[:-50],
        "damaged.zip": bytes(damaged),
        "cut.gz": packed[:-20],
        "short.gz": packed[:5],
        "garbage.gz": packed + b"garbage",
        "empty.zip": b"PK\x05\x06" + b"\0" * 18,
    }
    for name, bytes_ in broken.items():
        (tmp_path / name).write_bytes(bytes_)
        code, message = only_error(importing, tmp_path / name)
        assert (code, name in message) == ("archive_invalid", True), message


def test_the_same_name_twice_is_refused(importing: Importing, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as writing:
        writing.writestr("a.csv", CONTENT)
        with pytest.warns(UserWarning, match="Duplicate"):
            writing.writestr("a.csv", OTHER)
    code, message = only_error(importing, tmp_path / "twice.zip")
    assert (code, "'a.csv' 2 times" in message) == ("archive_invalid", True)


@pytest.mark.parametrize("marker", ["[Content_Types].xml", "xl/workbook.xml", "mimetype"])
def test_workbooks_get_their_own_sentence(importing: Importing, tmp_path: Path, marker: str) -> None:
    code, message = only_error(importing, archive(tmp_path / "contacts.xlsx", {marker: b"x", "sheet.xml": b"<x/>"}))
    assert (code, "save the sheet as CSV" in message) == ("file_type_unknown", True)


@pytest.fixture
def narrow(importing: Importing, settings: Settings) -> Importing:
    """An installation with small limits."""
    limits = {"max_expanded_bytes": 20_000_000, "max_expansion_ratio": 50, "max_archive_entries": 3}
    store = Store(importing.store.engine, settings.model_copy(update=limits))
    return Importing(store, importing.folder)


def bomb(size: int, packed: io.BytesIO) -> bytes:
    with gzip.GzipFile(fileobj=packed, mode="wb") as writing:
        for _ in range(size // 1_000_000):
            writing.write(b"a" * 1_000_000)
    return packed.getvalue()


def test_bombs_end_at_the_limits(narrow: Importing, tmp_path: Path) -> None:
    (tmp_path / "ratio.gz").write_bytes(bomb(15_000_000, io.BytesIO()))
    code, message = only_error(narrow, tmp_path / "ratio.gz")
    assert (code, "50 times its size" in message) == ("too_large", True)
    noise = hashlib.shake_256(b"").digest(21_000_000)
    code, message = only_error(narrow, archive(tmp_path / "size.zip", {"a.csv": noise}))
    assert (code, "20,000,000 bytes" in message) == ("too_large", True)
    code, message = only_error(narrow, archive(tmp_path / "many.zip", {f"{n}.csv": CONTENT for n in range(4)}))
    assert (code, "4 files, and 3 are allowed" in message) == ("too_large", True)


def test_a_size_that_the_archive_states_is_not_trusted(narrow: Importing, tmp_path: Path) -> None:
    whole = bytearray(archive(tmp_path / "liar.zip", {"a.csv": b"a" * 15_000_000}).read_bytes())
    for signature, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = whole.index(signature) + place
        whole[start : start + 4] = (100).to_bytes(4, "little")
    (tmp_path / "liar.zip").write_bytes(whole)
    assert only_error(narrow, tmp_path / "liar.zip")[0] in ("too_large", "archive_invalid")


def test_rejected_rows_of_an_entry_can_be_imported_again(importing: Importing, tmp_path: Path) -> None:
    (entry,) = importing.arrive(archive(tmp_path / "one.zip", {"a.csv": OTHER}))
    report = importing.store.settings.report_dir(entry.import_id) / "rejected.csv"
    assert report.read_text().splitlines()[1].startswith("3,nonsense,3,address_invalid,")
    assert entry.group_name == GROUP
