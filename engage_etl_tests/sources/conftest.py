"""A bucket, a server, and what is dropped there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engage_etl.settings import Settings
from engage_etl.store.engine import Store
from engage_etl_tests.sources.dropping import Drops
from engage_etl_tests.sources.services import Bucket, SftpServer, s3_service, sftp_server


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """An empty bucket; the environment says how to get in."""
    with s3_service() as made:
        for name, value in made.environment().items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.fixture
def s3_settings(settings: Settings, bucket: Bucket) -> Settings:
    return settings.model_copy(update={"s3_endpoint_url": bucket.endpoint})


@pytest.fixture
def sftp(tmp_path: Path) -> Iterator[SftpServer]:
    with sftp_server(tmp_path / "sftp") as made:
        yield made


@pytest.fixture
def s3_drops(store: Store, s3_settings: Settings, bucket: Bucket) -> Drops:
    """The prefix ``in`` of the bucket as the source of the automation ``crm``."""
    return Drops(replace(store, settings=s3_settings), f"s3://{bucket.name}/in")


@pytest.fixture
def sftp_drops(store: Store, sftp: SftpServer) -> Drops:
    """A folder of the server as the source of the automation ``crm``."""
    settings = store.settings.model_copy(update=sftp.settings())
    return Drops(replace(store, settings=settings), sftp.url)
