"""What the assets are given: the store, and somebody who is told how far a stage is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import PrivateAttr

from engage_etl.settings import load_settings

if TYPE_CHECKING:
    from engage_etl.store.engine import Store


class StoreResource(dg.ConfigurableResource):
    """The store of the installation that the environment names: opened by the first stage, closed when the run ends."""

    _opened: Store | None = PrivateAttr(default=None)

    def open(self) -> Store:
        """The open store; it is opened anew, and its server started, if that has gone since the stage before.

        Raises:
            StoreError: it cannot be opened.
        """
        from engage_etl.store.engine import open_store

        if self._opened is None or not self._opened.answers():
            self.close()
            self._opened = open_store(load_settings())
        return self._opened

    def close(self) -> None:
        """Close the connections, if there are any."""
        if self._opened is not None:
            self._opened.dispose()
            self._opened = None

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Dagster says that the run is over."""
        self.close()


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
