"""Arrivals that are encrypted with PGP: their plain text, in a stream, through GnuPG.

The program ``gpg`` is called and not a library around it: what it gives is counted as it comes, and it is ended where
that is too much.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from engage_etl.errors import FileError, FileErrorCode, SecretsUnusable
from engage_etl.raw_file.unpacking import safe_name, write_counted
from engage_etl.secrets_file import PGP, secrets_of
from engage_etl.settings import Settings

_ENCRYPTED = re.compile(r"\.(gpg|pgp)$", re.IGNORECASE)
_STATUS = "[GNUPG:] "
_DEBIAN = "on Debian: apt-get install gnupg"


def is_encrypted(name: str) -> bool:
    """Whether the name of a file says that it is encrypted."""
    return _ENCRYPTED.search(name) is not None


def name_inside(name: str) -> str:
    """The name that an encrypted file has when it is decrypted."""
    return _ENCRYPTED.sub("", name)


def decrypt(file: Path, folder: Path, *, name: str, settings: Settings) -> Path:
    """Write the plain text of a file into ``folder``, for its owner's eyes only; returns where it is.

    name: as it arrived, for messages.

    Raises:
        FileError: there is no key for it, the passphrase is wrong, it is damaged, or grows past the limits.
    """
    home, passphrase = _key_folder(name, settings), _passphrase(name, settings)
    target = folder / safe_name(name_inside(name))
    with tempfile.TemporaryFile() as said:
        try:
            with file.open("rb") as reading, _gpg(reading, said, home, passphrase) as plain_text:
                write_counted(
                    plain_text, target, file.stat().st_size, name=name, settings=settings, may_be_archive=True
                )
        except FileNotFoundError as error:
            if error.filename != "gpg":
                raise
            raise _failed(name, f"it is encrypted, and GnuPG is not installed; install it ({_DEBIAN})") from None
        said.seek(0)
        problem = _problem(said.read().decode("utf-8", "replace"), home)
    if problem is not None:
        target.unlink(missing_ok=True)
        raise _failed(name, problem)
    return target


@contextmanager
def _gpg(reading: IO[bytes], said: IO[bytes], home: Path, passphrase: str | None) -> Iterator[IO[bytes]]:
    """The plain text of what is read, as it comes; gpg is ended if nobody reads on. said: where its status goes."""
    secret, secret_end = os.pipe()
    with os.fdopen(secret, "rb"), os.fdopen(secret_end, "wb") as writing:
        way = ["--pinentry-mode", "loopback", "--passphrase-fd", str(secret)]
        process = subprocess.Popen(
            ["gpg", "--homedir", str(home), "--batch", "--no-tty", "--no-auto-key-retrieve", "--status-fd", "2",
             *(way if passphrase is not None else ["--pinentry-mode", "error"]), "--decrypt"],
            stdin=reading, stdout=subprocess.PIPE, stderr=said, pass_fds=[secret],
        )  # fmt: skip
        with process:
            try:
                writing.write((passphrase or "").encode() + b"\n")
                writing.close()
                assert process.stdout is not None
                yield process.stdout
            except BaseException:
                process.kill()
                raise


def _problem(said: str, home: Path) -> str | None:
    """What is wrong, by what gpg said; None if all of the plain text came, unchanged."""
    status = [line.removeprefix(_STATUS) for line in said.splitlines() if line.startswith(_STATUS)]
    words = {line.split(" ")[0] for line in status}
    if "DECRYPTION_OKAY" in words and not words & {"DECRYPTION_FAILED", "BADMDC"}:
        return None
    if "Bad passphrase" in said or "No pinentry" in said or "No passphrase" in said:
        return "its key needs another passphrase; set ENGAGE_PGP_PASSPHRASE or pgp: passphrase: in the secrets file"
    if "NO_SECKEY" in words and "DECRYPTION_INFO" not in words:
        keys = ", ".join(line.split(" ")[1] for line in status if line.startswith("NO_SECKEY "))
        return f"it is encrypted for another key ({keys}), which is not in {home}; have it encrypted for yours"
    if "NODATA" in words or "ENC_TO" not in words:
        return "its name says that it is encrypted, and it is not, or it is damaged; send it again"
    return "it is damaged or cut short; send it again"


def _key_folder(name: str, settings: Settings) -> Path:
    home = settings.gnupg_home.expanduser() if settings.gnupg_home is not None else None
    if home is None or not home.is_dir():
        raise _failed(name, "it is encrypted, and ENGAGE_GNUPG_HOME names no folder with keys; set it")
    return home


def _passphrase(name: str, settings: Settings) -> str | None:
    try:
        stated = secrets_of(settings, PGP).get("passphrase")
    except SecretsUnusable as error:
        raise _failed(name, str(error).rstrip(".")) from None
    if stated is None and settings.pgp_passphrase is not None:
        return settings.pgp_passphrase.get_secret_value()
    return stated


def _failed(name: str, problem: str) -> FileError:
    return FileError(FileErrorCode.DECRYPTION_FAILED, f"{name}: {problem}. Nothing of it was imported.")


def remove_plain_text(folder: Path) -> None:
    """Remove what was decrypted, and unpacked from that; the encrypted bytes stay (R28).

    folder: of the import.
    """
    for kind in ("decrypted", "unpacked"):
        with suppress(FileNotFoundError):
            shutil.rmtree(folder / kind)
