"""Run ``engage-etl`` as people do: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from engage_etl.settings import Settings


@dataclass(frozen=True)
class Ended:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON document."""
        return json.loads(self.out)


def environment(settings: Settings) -> dict[str, str]:
    """The environment of a command on an installation."""
    given = {"ENGAGE_DATA_DIR": str(settings.data_dir), "ENGAGE_DAGSTER_DATABASE": settings.dagster_database}
    if settings.database_url is not None:
        given["ENGAGE_DATABASE_URL"] = settings.database_url
    if settings.direct_url is not None:
        given["ENGAGE_DIRECT_URL"] = settings.direct_url
    if settings.s3_endpoint_url is not None:
        given["ENGAGE_S3_ENDPOINT_URL"] = settings.s3_endpoint_url
    return os.environ | given


def engage_etl(settings: Settings, *arguments: object) -> Ended:
    """Run a command to its end; it may take a minute."""
    ended = subprocess.run(
        [sys.executable, "-m", "engage_etl.cli.main", *map(str, arguments)],
        env=environment(settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)
