"""The secrets file: for its owner only, by address, and never repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from engage_etl.errors import SecretsUnusable
from engage_etl.secrets_file import secrets_of
from engage_etl.settings import Settings
from engage_etl_tests.sources.services import SECRET


def settings_with(file: Path, text: str | bytes, mode: int = 0o600) -> Settings:
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    file.chmod(mode)
    return Settings(secrets_file=file)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "secrets.yaml"


def test_secrets_by_address(file: Path) -> None:
    settings = settings_with(
        file,
        f"s3://bucket:\n  access-key-id: 0123\n  secret-access-key: {SECRET}\n"
        "sftp://ann@Host:22:\n  private-key: /etc/key\npgp:\n  passphrase: yes\n",
    )
    assert secrets_of(settings, "s3://bucket") == {"access-key-id": "0123", "secret-access-key": SECRET}
    assert secrets_of(settings, "sftp://ann@host") == {"private-key": "/etc/key"}
    assert secrets_of(settings, "pgp") == {"passphrase": "yes"}
    assert secrets_of(settings, "s3://other") == {}


def test_without_a_file_there_are_none() -> None:
    assert secrets_of(Settings(), "pgp") == {}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_others_may_not_read_it(file: Path, mode: int) -> None:
    with pytest.raises(SecretsUnusable, match="can be read by others than its owner; run `chmod 600`"):
        secrets_of(settings_with(file, f"pgp:\n  passphrase: {SECRET}\n", mode), "pgp")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"pgp: {SECRET}", "not as expected"),
        (f"- {SECRET}", "not as expected"),
        (f"pgp:\n  passphrase: '{SECRET}\n", "is no YAML; look at line"),
        (f"pgp:\n  {SECRET}: x\n", "section 1, key 1: expected a text under passphrase"),
        (f"pgp:\n  passphrase: [{SECRET}]\n", "section 1, key 1: expected a text under passphrase"),
        (f"pgp: {{}}\nsftp://ann:{SECRET}@host: {{}}\n", "section 2: there is a password or key in the address"),
        (f"{SECRET}: {{}}\n", "section 1: expected s3://bucket"),
        (f"pgp:\n  passphrase: {SECRET}\xff".encode("latin-1"), "is no UTF-8"),
    ],
)
def test_a_file_that_is_wrong_gets_a_sentence_without_what_is_in_it(
    file: Path, text: str | bytes, expected: str
) -> None:
    with pytest.raises(SecretsUnusable) as raised:
        secrets_of(settings_with(file, text), "pgp")
    assert expected in str(raised.value)
    assert SECRET not in str(raised.value)


def test_a_file_that_lacks(tmp_path: Path) -> None:
    with pytest.raises(SecretsUnusable, match="cannot be read"):
        secrets_of(Settings(secrets_file=tmp_path / "lacks"), "pgp")


def test_secrets_in_settings_are_not_shown() -> None:
    settings = Settings(pgp_passphrase=SECRET, sftp_passphrase=SECRET)
    assert SECRET not in repr(settings) + str(settings.model_dump())
