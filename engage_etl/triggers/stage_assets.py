"""What all four stage assets share: how a stage is run, and how what it leaves is shown in the web UI.

Assets load their stage when it runs, not at the top: the web server and the sensor show assets and need no pandas, whose
loading would double the time in which ``engage_etl.definitions`` loads.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from engage_etl.errors import EngageError, ImportBusy, SourceUnavailable
from engage_etl.logs import start_logging
from engage_etl.reports.page_file import page_address
from engage_etl.triggers.resources import StoreResource

if TYPE_CHECKING:
    from engage_etl.store.engine import Store

GROUP = "contact_import"
OWNERS = ["team:engage-etl"]
_ASKED_FOR = {"dagster/sensor_name", "dagster/schedule_name"}
"""Tags of the runs that a sensor or a schedule asked for."""


@dataclass
class StageRun:
    """A stage at work. import_id: of the partition; store: open; started: by the monotonic clock."""

    import_id: str
    store: Store
    started: float = field(default_factory=time.monotonic)

    def duration(self, rows: int | None = None) -> dict[str, Any]:
        """Metadata: how long the stage took so far, and how many rows per second that is."""
        seconds = time.monotonic() - self.started
        speed = {"rows_per_second": round(rows / seconds)} if rows and seconds else {}
        return {"duration_seconds": dg.MetadataValue.float(round(seconds, 3)), **speed}

    def path(self, path: Path) -> dg.PathMetadataValue:
        """Metadata: a path."""
        return dg.MetadataValue.path(str(path))

    def report(self) -> dict[str, Any]:
        """Metadata: where the report lies, and its page as the web server of ``engage-etl up`` shows it."""
        folder = self.store.settings.report_dir(self.import_id)
        return {"report": self.path(folder), "report_page": dg.MetadataValue.url(page_address(self.import_id))}

    @property
    def shows_personal_data(self) -> bool:
        """Whether a setting lets metadata show personal data (R41)."""
        return self.store.settings.show_personal_data


@contextmanager
def run_stage(context: dg.AssetExecutionContext, store: StoreResource) -> Iterator[StageRun]:
    """Open the store, hold the import's lock, and turn our errors into a failure with their sentence.

    A lost connection is waited for, and the stage is then tried again; nothing else is.

    Raises:
        dagster.Failure: the stage ended with an error of ours, or the server or the disk did not play along.
        dagster.RetryRequested: it lost its connection, which is there again.
    """
    from engage_etl.stage_run import import_stage
    from engage_etl.store.outages import OUTAGES

    try:
        opened = store.open()
        start_logging(opened.settings.log_format)
        with import_stage(opened, context.partition_key, context.asset_key.to_user_string()):
            yield StageRun(context.partition_key, opened)
    except (EngageError, *OUTAGES) as error:
        _try_again_if_lost(error, context)
        raise dg.Failure(description=_sentence(error), allow_retries=False) from None


def _try_again_if_lost(error: Exception, context: dg.AssetExecutionContext) -> None:
    """Wait until the connection is there again; a source elsewhere is asked again after the same pauses.

    Nothing may be logged before: the event log is on the same server.

    Raises:
        dagster.RetryRequested: it is.
    """
    from engage_etl.settings import load_settings
    from engage_etl.store.outages import is_connection_lost
    from engage_etl.store.reconnecting import wait_for_store

    settings, tried = load_settings(), context.retry_number
    # A server that has not noticed the loss yet goes on holding the lock of the try before.
    is_held_by_us = tried > 0 and isinstance(error, ImportBusy)
    if not is_connection_lost(error) and not is_held_by_us:
        return
    try:
        is_back = wait_for_store(settings, tried)
    except EngageError:
        return
    if is_back:
        # Kept connections of Dagster's storage were lost with ours.
        context.instance.run_storage.dispose()
        again = "It is asked again" if isinstance(error, SourceUnavailable) else "It is there again"
        context.log.warning(f"{_sentence(error)} {again}; this is try {tried + 2}.")
        raise dg.RetryRequested(max_retries=settings.connection_retries) from None


def _sentence(error: Exception) -> str:
    from engage_etl.settings import load_settings
    from engage_etl.store.outages import outage

    if isinstance(error, EngageError):
        return str(error)
    return str(outage(error, load_settings(), "materialize this stage again, or import the file again"))


def is_its_turn(context: dg.AssetExecutionContext, run: StageRun) -> bool:
    """Whether a run that sensor or schedule asked for may begin: none of the same automation that arrived earlier has yet to end.

    Runs stand in Dagster's queue in the order of arrival (R40). If one dies, the next begins before it is asked for anew.
    """
    from engage_etl.store.imports import find_import, is_preceded

    if not _ASKED_FOR & context.run.tags.keys():
        return True
    with run.store.engine.connect() as connection:
        return not is_preceded(connection, find_import(connection, run.import_id))


def table(records: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue | dg.TextMetadataValue:
    """Metadata: a table, all cells as text; a word where there is nothing to show."""
    if not records:
        return dg.MetadataValue.text("none")
    names = list(records[0])
    schema = dg.TableSchema([dg.TableColumn(name) for name in names])
    rows = [dg.TableRecord({name: str(record.get(name, "")) for name in names}) for record in records]
    return dg.MetadataValue.table(rows, schema=schema)


def counts_table(counts: Mapping[str, int], name: str) -> dg.TableMetadataValue | dg.TextMetadataValue:
    """Metadata: counts under a name, the largest first."""
    ordered = sorted(counts.items(), key=lambda count: (-count[1], count[0]))
    return table([{name: key, "rows": value} for key, value in ordered])
