"""Folders of SFTP servers, through paramiko.

Only a server whose host key stands in the known hosts is spoken to, and only with the key or password that is stated.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from engage_etl.errors import SourceRefused, SourceUnavailable
from engage_etl.settings import Settings
from engage_etl.sources.remote_bytes import remote_bytes
from engage_etl.sources.storage import BLOCK, FileState
from engage_etl.vocabulary.locations import RemoteLocation

if TYPE_CHECKING:
    import paramiko

_REQUEST = 32 * 1024
"""Bytes that every server gives in one answer; so many are asked for at once that a block is full."""
_SECOND = 1_000_000_000


class SftpFiles:
    """The files that one account sees on a server; folders are absolute."""

    are_files_whole = False

    def __init__(self, address: str, secrets: Mapping[str, str], settings: Settings) -> None:
        """Connect.

        Raises:
            SourceUnavailable: the library lacks, the server does not answer, its host key is unknown or has changed, or
                it does not let us in.
        """
        self._address = address
        try:
            import paramiko
        except ImportError:
            raise SourceUnavailable(
                f"{address}: SFTP needs a library that is not installed; run `pip install 'engage-etl[sftp]'`."
            ) from None
        self._client = paramiko.SSHClient()
        try:
            self._connect(RemoteLocation.read(address), secrets, settings)
        except BaseException:
            self._client.close()
            raise

    def list_files(self, folder: RemoteLocation) -> list[tuple[str, FileState]]:
        """The regular files in a folder; links are left alone."""
        with self._sentences(folder):
            entries = self._sftp.listdir_attr(_path(folder))
        return [
            (entry.filename, _state(entry))
            for entry in entries
            if stat.S_ISREG(entry.st_mode or 0) and not entry.filename.startswith(".")
        ]

    def find(self, file: RemoteLocation) -> FileState | None:
        """What a file is now, or None if there is none."""
        with self._sentences(file):
            try:
                found = self._sftp.lstat(_path(file))
            except FileNotFoundError:
                return None
        return _state(found) if stat.S_ISREG(found.st_mode or 0) else None

    def is_being_written(self, file: RemoteLocation) -> bool:
        """SFTP does not tell; the time without growth has to do."""
        return False

    def open(self, file: RemoteLocation, block: int = BLOCK, state: FileState | None = None) -> BinaryIO:
        """The bytes of a file; the requests of a block are sent together."""
        state = state or self.find(file)
        if state is None:
            raise FileNotFoundError(str(file))
        with self._sentences(file):
            reading = self._sftp.open(_path(file), "rb")

        def read_at(start: int, size: int) -> bytes:
            pieces = [(at, min(_REQUEST, start + size - at)) for at in range(start, start + size, _REQUEST)]
            with self._sentences(file):
                found = b"".join(reading.readv(pieces))
            if len(found) != size:
                raise SourceUnavailable(f"{file} broke off while it was read; it is read again later.", is_passing=True)
            return found

        def close() -> None:
            with suppress(OSError, EOFError):
                reading.close()

        return remote_bytes(state.size, read_at, block, close)

    def move(self, file: RemoteLocation, target: RemoteLocation, state: FileState | None = None) -> bool:
        """Rename; the folder that the file was claimed into goes when it is empty."""
        if self.find(target) is not None:
            return True
        now = self.find(file)
        if now is None or (state is not None and now != state):
            return self.find(target) is not None  # another process may have moved it in between
        with self._sentences(file):
            self._make_folder(_path(target.parent))
            try:
                self._rename(_path(file), _path(target))
            except FileNotFoundError:
                return self.find(target) is not None
        with suppress(OSError):
            self._sftp.rmdir(_path(file.parent))
        return True

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def _rename(self, file: str, target: str) -> None:
        try:
            self._sftp.posix_rename(file, target)
        except OSError as error:
            if error.errno is not None:
                raise
            self._sftp.rename(file, target)  # a server without that extension

    def _make_folder(self, path: str) -> None:
        try:
            self._sftp.stat(path)
        except FileNotFoundError:
            self._make_folder(path.rpartition("/")[0] or "/")
            try:
                self._sftp.mkdir(path, 0o700)
            except FileNotFoundError:
                raise PermissionError(path) from None

    def _connect(self, location: RemoteLocation, secrets: Mapping[str, str], settings: Settings) -> None:
        import paramiko

        user, host, port = location.server
        wait = settings.remote_timeout
        self._know_hosts(Path(secrets.get("known-hosts") or settings.sftp_known_hosts).expanduser())
        entry = self._way_in(secrets, settings)
        try:
            self._client.connect(
                host, port, user, timeout=wait, banner_timeout=wait, auth_timeout=wait, channel_timeout=wait,
                allow_agent=False, look_for_keys=False, **entry,
            )  # fmt: skip
            self._sftp = self._client.open_sftp()
            channel = self._sftp.get_channel()
            if channel is not None:
                channel.settimeout(wait)
        except paramiko.BadHostKeyException as error:
            raise SourceUnavailable(
                f"{self._address}: the host key of the server has changed: it shows {error.key.fingerprint}, the known hosts "
                f"say {error.expected_key.fingerprint}. Somebody may be in between; ask who runs the server before you "
                "change the known hosts."
            ) from None
        except _UnknownHost as error:
            raise SourceUnavailable(
                f"{self._address}: the host key of the server is unknown ({error}); compare it with what those say who run "
                "the server, then add it to the known hosts (ENGAGE_SFTP_KNOWN_HOSTS)."
            ) from None
        except (paramiko.AuthenticationException, paramiko.PasswordRequiredException):
            raise SourceUnavailable(
                f"{self._address} does not let us in with this user and key; check both, and the passphrase of the key."
            ) from None
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self._no_answer(error) from None

    def _know_hosts(self, path: Path) -> None:
        import paramiko

        class _Refuse(paramiko.MissingHostKeyPolicy):
            def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
                raise _UnknownHost(f"{key.get_name()} {key.fingerprint}")

        self._client.set_missing_host_key_policy(_Refuse())
        try:
            self._client.load_system_host_keys(str(path))
        except FileNotFoundError:
            return  # then every host is unknown, which is said with its fingerprint
        except (OSError, paramiko.SSHException, ValueError) as error:
            raise SourceUnavailable(
                f"{self._address}: the known hosts {path} cannot be read ({type(error).__name__}); correct that file."
            ) from None

    def _way_in(self, secrets: Mapping[str, str], settings: Settings) -> dict[str, Any]:
        """The private key, the password, or both."""
        key = secrets.get("private-key") or settings.sftp_private_key
        if key is None:
            if "password" in secrets:
                return {"password": secrets["password"]}
            raise SourceUnavailable(
                f"{self._address}: there is no private key; name its file in ENGAGE_SFTP_PRIVATE_KEY or the secrets file."
            )
        passphrase = secrets.get("passphrase")
        if passphrase is None and "private-key" not in secrets and settings.sftp_passphrase is not None:
            passphrase = settings.sftp_passphrase.get_secret_value()
        return {"pkey": self._private_key(Path(key).expanduser(), passphrase), "password": secrets.get("password")}

    def _private_key(self, path: Path, passphrase: str | None) -> paramiko.PKey:
        import paramiko

        # Bytes, whatever paramiko says that it takes: cryptography, to which it goes, knows nothing else.
        secret: Any = passphrase.encode() if passphrase is not None else None
        try:
            return paramiko.PKey.from_path(str(path), secret)
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
        except (paramiko.PasswordRequiredException, TypeError):
            problem = "has a passphrase; put that into the secrets file or ENGAGE_SFTP_PASSPHRASE"
        except Exception as error:  # noqa: BLE001 - whatever cryptography finds wrong with it
            problem = f"cannot be used ({type(error).__name__}); check the file and its passphrase"
        raise SourceUnavailable(f"{self._address}: the private key {path} {problem}.")

    @contextmanager
    def _sentences(self, place: RemoteLocation) -> Iterator[None]:
        import paramiko

        try:
            yield
        except FileNotFoundError:
            raise SourceRefused(f"{place} does not exist; correct the source, or create it.") from None
        except PermissionError:
            raise SourceRefused(
                f"{place}: the server refuses access; let this user read, rename and write there."
            ) from None
        except (OSError, EOFError, paramiko.SSHException) as error:
            if isinstance(error, OSError) and not isinstance(error, TimeoutError) and self._is_connected():
                raise SourceRefused(
                    f"{place}: the server refuses ({errno.errorcode.get(error.errno or 0, 'failure')})."
                ) from None
            raise self._no_answer(error) from None

    def _is_connected(self) -> bool:
        transport = self._client.get_transport()
        return transport is not None and transport.is_active()

    def _no_answer(self, error: BaseException) -> SourceUnavailable:
        return SourceUnavailable(
            f"{self._address} does not answer ({type(error).__name__}); check host, port and network.", is_passing=True
        )


class _UnknownHost(Exception):
    """Fingerprint of a host key that is not known."""


def _path(location: RemoteLocation) -> str:
    return f"/{location.path}"


def _state(found: paramiko.SFTPAttributes) -> FileState:
    return FileState(found.st_size or 0, int(found.st_mtime or 0) * _SECOND)
