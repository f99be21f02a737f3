"""Where files lie: in a local folder, in a bucket (S3) or on a server (SFTP). Only words, nothing is opened here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

SCHEMES = ("s3", "sftp")
_REMOTE = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/]*)/?(?P<path>.*)", re.DOTALL)
_SFTP = re.compile(r"(?P<user>[^@:]+)@(?P<host>[^@:\[\]]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}")
_SFTP_PORT = 22


@dataclass(frozen=True)
class RemoteLocation:
    """A file or folder elsewhere; ``/`` goes below it, as with paths.

    scheme: of ``SCHEMES``; authority: ``bucket``, or ``user@host`` with ``:port`` unless that is 22; path: without slashes
    at its ends, blank for the whole bucket or the top of the server.
    """

    scheme: str
    authority: str
    path: str

    @classmethod
    def read(cls, text: str) -> RemoteLocation:
        """What ``str`` made of a location, as it stands in the register."""
        found = _REMOTE.fullmatch(text)
        assert found is not None, text
        return cls(found["scheme"], found["authority"], found["path"])

    def __truediv__(self, name: str) -> RemoteLocation:
        return RemoteLocation(self.scheme, self.authority, f"{self.path}/{name}" if self.path else name)

    def __str__(self) -> str:
        return f"{self.address}/{self.path}"

    @property
    def address(self) -> str:
        """The source without folder: ``s3://bucket``, ``sftp://user@host:2222``."""
        return f"{self.scheme}://{self.authority}"

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> RemoteLocation:
        """The folder that it lies in."""
        return RemoteLocation(self.scheme, self.authority, self.path.rpartition("/")[0])

    @property
    def server(self) -> tuple[str, str, int]:
        """User, host and port of an SFTP server."""
        found = _SFTP.fullmatch(self.authority)
        assert found is not None, self.authority
        return found["user"], found["host"].strip("[]"), int(found["port"] or _SFTP_PORT)

    def resolve(self) -> RemoteLocation:
        """Itself: it is absolute, and links are the affair of the other side."""
        return self


Location = Path | RemoteLocation


def read_location(text: str) -> Location:
    """A location as it stands in the register."""
    return RemoteLocation.read(text) if is_remote(text) else Path(text)


def is_remote(text: str) -> bool:
    """Whether a location, as it stands in the register, is elsewhere."""
    return text.startswith(tuple(f"{scheme}://" for scheme in SCHEMES))


def source_location(text: str, base: Path) -> Location:
    """The source of an automation: a folder, ``s3://bucket/prefix`` or ``sftp://user@host:port/path``.

    base: what a relative folder is relative to.

    Raises:
        ValueError: it is none of these, or holds a password; the sentence never repeats what may be one.
    """
    found = _REMOTE.fullmatch(text)
    if found is None:
        return Path(text) if Path(text).is_absolute() else base / text
    scheme, authority, path = found["scheme"].lower(), found["authority"], found["path"].strip("/")
    if scheme not in SCHEMES:
        raise ValueError(
            f"{scheme}:// is no source; expected a folder, s3://bucket/prefix or sftp://user@host:port/path"
        )
    _refuse_secrets(scheme, authority, path)
    if any(part in ("", ".", "..") for part in path.split("/")) and path:
        raise ValueError("the path has empty parts, . or ..; write it without them")
    return RemoteLocation(scheme, _authority(scheme, authority), path)


def _refuse_secrets(scheme: str, authority: str, path: str) -> None:
    account = authority.rpartition("@")[0]
    if ":" in account or (scheme == "s3" and account) or (scheme == "sftp" and "@" in account) or "@" in path:
        raise ValueError(
            "there is a password or key in the address, or an @ out of place; take it out, and put it into the environment "
            "or the secrets file (docs/sources.md)"
        )
    if "?" in path or "#" in path or "?" in authority or "#" in authority:
        raise ValueError("the address has a ? or #; options are settings and secrets are in the secrets file")


def _authority(scheme: str, authority: str) -> str:
    if scheme == "s3":
        if not _BUCKET.fullmatch(authority):
            raise ValueError("expected a bucket, like s3://bucket/prefix")
        return authority
    found = _SFTP.fullmatch(authority)
    if found is None or not 0 < int(found["port"] or _SFTP_PORT) < 65536:
        raise ValueError("expected user and host, like sftp://user@host/path or sftp://user@host:2222/path")
    port = f":{int(found['port'])}" if found["port"] and int(found["port"]) != _SFTP_PORT else ""
    return f"{found['user']}@{found['host'].lower()}{port}"
