"""Services that sources are asked at: an S3 service in this process, an OpenSSH server beside it, a folder of GnuPG."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engage_etl_tests.scenarios.service import free_port
from engage_etl_tests.waiting import LONGEST

SECRET = "Sesame-4711-open"
"""Stands wherever a secret stands, so that it can be looked for where it must not be."""
_SBIN = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])


def demand(program: str, package: str) -> str:
    """Where a program is; without it the test is skipped, and fails where CI=true."""
    found = shutil.which(program, path=_SBIN)
    if found is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{program} lacks (Debian package {package})")
    return found


@dataclass
class Bucket:
    """A bucket of a service on this machine."""

    name: str
    endpoint: str
    client: Any

    def put(self, key: str, content: str | bytes = "user.Identifier,user.Email\n1,a@x.org\n") -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=content)

    def get(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def list_keys(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return sorted(found["Key"] for page in pages for found in page.get("Contents", []))

    def environment(self) -> dict[str, str]:
        """What a process needs to use it."""
        return {
            "AWS_ACCESS_KEY_ID": "engage",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "ENGAGE_S3_ENDPOINT_URL": self.endpoint,
        }


@contextmanager
def s3_service() -> Iterator[Bucket]:
    """An S3 service with an empty bucket."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        client = boto3.client(
            "s3", endpoint_url=endpoint, aws_access_key_id="engage", aws_secret_access_key=SECRET, region_name="us-east-1"
        )  # fmt: skip
        bucket = Bucket(f"drop-{uuid.uuid4().hex[:8]}", endpoint, client)
        client.create_bucket(Bucket=bucket.name)
        yield bucket
    finally:
        server.stop()


@dataclass
class SftpServer:
    """An OpenSSH server on this machine. folder: for what is dropped; key: the private key that it lets in."""

    port: int
    folder: Path
    key: Path
    host_key: Path
    known_hosts: Path
    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def address(self) -> str:
        return f"sftp://{getpass.getuser()}@127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.address}{self.folder}"

    def settings(self) -> dict[str, Any]:
        """What an installation has to be set to use it."""
        return {"sftp_private_key": self.key, "sftp_known_hosts": self.known_hosts}


@contextmanager
def sftp_server(folder: Path) -> Iterator[SftpServer]:
    """Start an OpenSSH server whose files lie below ``folder``."""
    sshd, keygen = demand("sshd", "openssh-server"), demand("ssh-keygen", "openssh-client")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    folder.mkdir(parents=True)
    for name in ("host_key", "user_key", "other_key"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "authorized_keys").write_text((folder / "user_key.pub").read_text())
    port, drop = free_port(), folder / "drop"
    drop.mkdir()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {(folder / 'host_key.pub').read_text()}")
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\nPermitRootLogin yes\n"
        "MaxStartups 100\nSubsystem sftp internal-sftp\n"
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sshd, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log)
    try:
        _wait_until_it_listens(port, process, folder / "log")
        yield SftpServer(port, drop, folder / "user_key", folder / "host_key", folder / "known_hosts", process)
    finally:
        process.terminate()
        process.wait(timeout=LONGEST)


def _wait_until_it_listens(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(log.read_text())


@dataclass(frozen=True)
class Keyring:
    """A folder of GnuPG with one secret key."""

    home: Path
    name: str

    def encrypt(self, content: bytes) -> bytes:
        """Encrypt for the key, as a sender would who has the public one."""
        return self._gpg("--encrypt", "--trust-model", "always", "--recipient", self.name, given=content)

    def _gpg(self, *arguments: str, given: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--quiet", *arguments]
        return subprocess.run(command, input=given, capture_output=True, check=True).stdout


@contextmanager
def keyring(name: str, passphrase: str = "") -> Iterator[Keyring]:
    """Make a folder of GnuPG; its path is short, since its agent has a socket in it."""
    demand("gpg", "gnupg")
    demand("gpg-agent", "gnupg")
    home = Path(tempfile.mkdtemp(prefix="gpg-", dir="/tmp"))
    made = Keyring(home, name)
    try:
        way = ["--pinentry-mode", "loopback", "--passphrase", passphrase]
        made._gpg(*way, "--quick-generate-key", name, "default", "default", "never")
        yield made
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)
