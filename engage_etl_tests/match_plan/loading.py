"""Imports whose rows are loaded over several connections, however few they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, Table

from engage_etl.match_plan import staging
from engage_etl.store.imports import Import
from engage_etl.store.tables import LOADING
from engage_etl.validated_rows import stage_writer
from engage_etl_tests.importing import STAGES, Importing

CONNECTIONS = 3
ROWS_OF_A_GROUP = 2


def with_several_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows are a row group, and there are as many cores as connections."""
    monkeypatch.setattr(stage_writer, "ROWS_OF_A_GROUP", ROWS_OF_A_GROUP)
    monkeypatch.setattr(staging, "cores_at_hand", lambda: CONNECTIONS)


def as_large(importing: Importing) -> Importing:
    """The same installation, in which every file is large."""
    settings = importing.store.settings.model_copy(update={"ranges_from": 0})
    return replace(importing, store=replace(importing.store, settings=settings))


def import_as_large(importing: Importing, content: str, **options: Any) -> Import:
    """Import a file, and see that its rows are loaded over several connections."""
    import_id = importing.register(content, **options)
    importing.run(import_id, STAGES[:2])
    with copies_seen() as seen:
        entry = as_large(importing).run(import_id, STAGES[2:])
    loads = [process for table, process in seen if table.startswith(f"{LOADING}.")]
    assert len(loads) == len(set(loads)) == CONNECTIONS
    return entry


@contextmanager
def copies_seen() -> Iterator[list[tuple[str, int]]]:
    """The tables that rows are copied into meanwhile, each with the process of the server that did it."""
    seen: list[tuple[str, int]] = []
    plain = staging.copy_into

    def noted(connection: Connection, table: Table, blocks: Iterator[bytes]) -> None:
        driver: Any = connection.connection.driver_connection
        seen.append((table.fullname, driver.info.backend_pid))
        plain(connection, table, blocks)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "copy_into", noted)
        yield seen
