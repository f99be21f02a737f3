"""Files encrypted with PGP: decrypted in a stream, kept encrypted, and their plain text gone when the import has ended."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engage_etl.raw_file.stage import archive_raw_file
from engage_etl.stage_run import finish_import
from engage_etl.store.imports import Import, find_file
from engage_etl_tests.importing import STAGES, Importing
from engage_etl_tests.sources.services import SECRET, Keyring, keyring

CONTENT = b"user.Identifier,user.Email\n1,ann.plain@example.org\n2,nonsense\n"


@pytest.fixture(scope="module")
def key() -> Iterator[Keyring]:
    with keyring("import@example.org") as made:
        yield made


@pytest.fixture(scope="module")
def guarded() -> Iterator[Keyring]:
    """A key with a passphrase."""
    with keyring("guarded@example.org", SECRET) as made:
        yield made


@pytest.fixture
def importing(importing: Importing, key: Keyring) -> Importing:
    return with_settings(importing, gnupg_home=key.home)


def with_settings(importing: Importing, **update: object) -> Importing:
    settings = importing.store.settings.model_copy(update=update)
    return replace(importing, store=replace(importing.store, settings=settings))


def arrive(importing: Importing, tmp_path: Path, name: str, content: bytes) -> Import:
    file = tmp_path / name
    file.write_bytes(content)
    (entry,) = importing.arrive(file)
    return entry


def plain_text(importing: Importing, entry: Import) -> list[Path]:
    """Files of the import's own folder that hold an address, beside what arrived."""
    folder = importing.store.settings.import_dir(entry.import_id)
    others = [file for file in folder.rglob("*") if file.is_file() and file.parent.name != "raw"]
    return [file for file in others if b"ann.plain" in file.read_bytes()]


@pytest.mark.parametrize(
    ("name", "inside", "compression"),
    [
        ("contacts.csv.gpg", CONTENT, "pgp"),
        ("contacts.csv.PGP", CONTENT, "pgp"),
        ("contacts.csv.gz.gpg", gzip.compress(CONTENT, mtime=0), "pgp, gzip"),
        ("contacts.gpg", gzip.compress(CONTENT, mtime=0), "pgp, gzip"),
    ],
)
def test_an_encrypted_file_is_imported(
    importing: Importing, key: Keyring, tmp_path: Path, name: str, inside: bytes, compression: str
) -> None:
    encrypted = key.encrypt(inside)
    entry = arrive(importing, tmp_path, name, encrypted)
    assert (entry.status, entry.created, entry.rejected) == ("applied", 1, 1)
    with importing.store.engine.connect() as connection:
        record = find_file(connection, entry.import_id)
    assert record is not None
    assert (record.sha256, record.bytes) == (hashlib.sha256(encrypted).hexdigest(), len(encrypted))
    assert record.detection["compression"] == compression
    raw = importing.store.settings.import_dir(entry.import_id) / "raw" / name
    assert raw.read_bytes() == encrypted
    report = importing.store.settings.report_dir(entry.import_id)
    assert b"2,nonsense" in (report / "rejected.csv").read_bytes()


def test_a_zip_with_one_file_can_be_encrypted_and_one_with_several_cannot(
    importing: Importing, key: Keyring, tmp_path: Path
) -> None:
    for names, status in ((["a.csv"], "applied"), (["a.csv", "b.csv"], "failed")):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as writing:
            for name in names:
                writing.writestr(name, CONTENT)
        entry = arrive(importing, tmp_path, "contacts.zip.gpg", key.encrypt(packed.getvalue()))
        assert entry.status == status, entry.error_message
    assert entry.error_code == "archive_invalid" and "encrypt each by itself" in (entry.error_message or "")


def test_r41_the_plain_text_is_for_its_owner_and_goes_when_the_import_has_ended(
    importing: Importing, key: Keyring, tmp_path: Path
) -> None:
    file = tmp_path / "contacts.csv.gz.gpg"
    file.write_bytes(key.encrypt(gzip.compress(CONTENT, mtime=0)))
    import_id = importing.register(file)
    importing.run(import_id, STAGES[:1])
    entry = importing.entry(import_id)
    [there] = plain_text(importing, entry)
    assert (there.stat().st_mode & 0o777, there.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    importing.run(import_id, STAGES[1:])
    folder = importing.store.settings.import_dir(import_id)
    assert not (folder / "decrypted").exists() and not (folder / "unpacked").exists()


def test_r41_of_a_dry_run_it_goes_with_the_plan(importing: Importing, key: Keyring, tmp_path: Path) -> None:
    file = tmp_path / "contacts.csv.gpg"
    file.write_bytes(key.encrypt(CONTENT))
    entry = importing.run(importing.register(file, dry_run=True), STAGES[:3])
    assert entry.status == "planned"
    assert not (importing.store.settings.import_dir(entry.import_id) / "decrypted").exists()


def test_the_report_is_written_again_after_the_plain_text_has_gone(
    importing: Importing, key: Keyring, tmp_path: Path
) -> None:
    entry = arrive(importing, tmp_path, "contacts.csv.gpg", key.encrypt(CONTENT))
    rejected = importing.store.settings.report_dir(entry.import_id) / "rejected.csv"
    before = rejected.read_bytes()
    rejected.unlink()
    finish_import(importing.store, entry.import_id)
    assert rejected.read_bytes() == before
    assert not (importing.store.settings.import_dir(entry.import_id) / "decrypted").exists()


def test_a_failed_import_is_decrypted_again_when_its_stages_are_run_again(
    importing: Importing, key: Keyring, tmp_path: Path
) -> None:
    encrypted = key.encrypt(b"user.Emial\nann.plain@example.org\n")
    entry = arrive(importing, tmp_path, "contacts.csv.gpg", encrypted)
    assert (entry.status, entry.error_code, plain_text(importing, entry)) == ("failed", "header_invalid", [])
    (tmp_path / "contacts.csv.gpg").unlink()
    importing.run(entry.import_id, (archive_raw_file,))
    assert len(plain_text(importing, entry)) == 1


def error(importing: Importing, tmp_path: Path, content: bytes) -> str:
    entry = arrive(importing, tmp_path, "contacts.csv.gpg", content)
    assert (entry.status, entry.error_code) == ("failed", "decryption_failed")
    assert plain_text(importing, entry) == []
    message = entry.error_message or ""
    assert message.startswith("contacts.csv.gpg: ") and SECRET not in message
    return message


def test_a_file_for_another_key(importing: Importing, guarded: Keyring, tmp_path: Path) -> None:
    assert "it is encrypted for another key (" in error(importing, tmp_path, guarded.encrypt(CONTENT))


@pytest.mark.parametrize("keep", [10, 200, 0.5, 0.99])
def test_a_file_that_is_cut_short(importing: Importing, key: Keyring, tmp_path: Path, keep: float) -> None:
    whole = key.encrypt(CONTENT + b"".join(hashlib.sha256(bytes([n % 256])).hexdigest().encode() for n in range(2000)))
    cut = whole[: int(keep) if keep > 1 else int(len(whole) * keep)]
    assert "damaged" in error(importing, tmp_path, cut)


def test_a_file_with_a_byte_that_was_changed(importing: Importing, key: Keyring, tmp_path: Path) -> None:
    whole = bytearray(key.encrypt(CONTENT))
    whole[-40] ^= 1
    assert "damaged" in error(importing, tmp_path, bytes(whole))


@pytest.mark.parametrize("content", [CONTENT, b"", gzip.compress(CONTENT, mtime=0)])
def test_a_file_that_is_not_encrypted(importing: Importing, tmp_path: Path, content: bytes) -> None:
    assert "says that it is encrypted, and it is not, or it is damaged" in error(importing, tmp_path, content)


def test_a_key_with_a_passphrase(importing: Importing, guarded: Keyring, tmp_path: Path) -> None:
    """The right one last: the agent of GnuPG remembers it."""
    content = guarded.encrypt(CONTENT)
    without = with_settings(importing, gnupg_home=guarded.home)
    assert "needs another passphrase" in error(without, tmp_path, content)
    secrets = tmp_path / "secrets.yaml"
    for passphrase in ("wrong", SECRET):
        secrets.write_text(f"pgp:\n  passphrase: {passphrase}\n")
        secrets.chmod(0o600)
        stated = with_settings(without, secrets_file=secrets)
        if passphrase == "wrong":
            assert "needs another passphrase" in error(stated, tmp_path, content)
        else:
            assert arrive(stated, tmp_path, "contacts.csv.gpg", content).status == "applied"


def test_without_a_folder_of_keys(importing: Importing, key: Keyring, tmp_path: Path) -> None:
    for home in (None, tmp_path / "lacks"):
        message = error(with_settings(importing, gnupg_home=home), tmp_path, key.encrypt(CONTENT))
        assert "ENGAGE_GNUPG_HOME names no folder with keys" in message


def test_without_gnupg(importing: Importing, key: Keyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = key.encrypt(CONTENT)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "GnuPG is not installed" in error(importing, tmp_path, content)


def test_a_bomb(importing: Importing, key: Keyring, tmp_path: Path) -> None:
    """PGP compresses what it encrypts."""
    limited = with_settings(importing, max_expanded_bytes=1024 * 1024)
    entry = arrive(limited, tmp_path, "contacts.csv.gpg", key.encrypt(b"user.Email\n" + b"a" * 5 * 1024 * 1024))
    assert (entry.status, entry.error_code) == ("failed", "too_large")
