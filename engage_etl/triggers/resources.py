"""What the assets are given: the store, and somebody who is told how far a stage is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import dagster as dg

from engage_etl.settings import load_settings

if TYPE_CHECKING:
    from engage_etl.store.engine import Store


class StoreResource(dg.ConfigurableResource):
    """Opens the store of the installation that the environment names."""

    def open(self) -> Store:
        """An open store, to be used as a context manager.

        Raises:
            StoreError: it cannot be opened.
        """
        from engage_etl.store.engine import open_store

        return open_store(load_settings())


class Progress(dg.ConfigurableResource):
    """Tells nobody how far a stage is: the web UI shows steps, not rows."""

    def stage(self, name: str, rows: int | None) -> None:
        """A stage begins; rows: of the file, where they are known."""

    def rows(self, done: int) -> None:
        """So many rows of the stage are done."""


class ReportedProgress:
    """Tells a callable how far a stage is, for the progress bar of the command line."""

    def __init__(self, on_stage: Callable[[str, int | None], None], on_rows: Callable[[int], None]) -> None:
        self.stage, self.rows = on_stage, on_rows
