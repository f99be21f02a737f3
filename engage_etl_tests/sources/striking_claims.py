"""Looks at a source elsewhere that are struck by ``kill -9``: before their first request or commit, their second, and so on.

Run as a module, it forks a process for each look; a file more is dropped before each.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import paramiko
from sqlalchemy import event

from engage_etl.settings import Settings
from engage_etl.sources.s3 import S3Files
from engage_etl.store.engine import open_store
from engage_etl.triggers.arrivals import Look, take_arrivals
from engage_etl.triggers.automations import Automation
from engage_etl.vocabulary.locations import RemoteLocation, source_location
from engage_etl_tests.sources.dropping import OPTIONS

CONTENT = b"user.Identifier\n1\n"
_MOST = 60


def main(url: str) -> None:
    """Strike until a look comes to its end; prints how many were struck."""
    source = source_location(url, Path())
    assert isinstance(source, RemoteLocation)
    drop = _at_s3(source) if source.scheme == "s3" else _at_sftp(source)
    for strike in range(1, _MOST):
        drop(f"{strike:02d}.csv")
        child = os.fork()
        if not child:
            _look(source, strike)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            assert status == 0, status
            sys.stdout.write(f"{strike - 1}\n")
            return
    raise AssertionError("no look came to its end")


def _at_s3(source: RemoteLocation) -> Callable[[str], object]:
    client = boto3.client("s3", endpoint_url=os.environ["ENGAGE_S3_ENDPOINT_URL"])
    return lambda name: client.put_object(Bucket=source.authority, Key=f"{source.path}/{name}", Body=CONTENT)


def _at_sftp(source: RemoteLocation) -> Callable[[str], object]:
    """The server is on this machine."""
    folder = Path(f"/{source.path}")

    def drop(name: str) -> None:
        (folder / f".{name}").write_bytes(CONTENT)
        shutil.move(folder / f".{name}", folder / name)

    return drop


def _look(source: RemoteLocation, strike: int) -> None:
    """Look twice, so that what is whole is taken; never returns."""
    counter = itertools.count(1)

    def count(*_: object) -> None:
        if next(counter) == strike:
            os.kill(os.getpid(), signal.SIGKILL)

    _before(S3Files, "_ask", count)
    _before(paramiko.SFTPClient, "_request", count)
    with open_store(Settings()) as store:
        event.listen(store.engine, "commit", count)
        seen: Look = {}
        for now in (1_000_000.0, 1_000_100.0):
            _, seen = take_arrivals(store, [Automation("crm", source, "*", True, OPTIONS)], seen, now, _fail)
    os._exit(0)


def _fail(complaint: str) -> None:
    sys.stderr.write(complaint)
    os._exit(3)


def _before(owner: Any, name: str, count: Callable[..., None]) -> None:
    method = getattr(owner, name)

    def counted(*arguments: Any, **more: Any) -> Any:
        count()
        return method(*arguments, **more)

    setattr(owner, name, counted)


if __name__ == "__main__":
    main(sys.argv[1])
