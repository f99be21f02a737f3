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
from engage_etl.settings import Executor, load_settings
from engage_etl.triggers.resources import StoreResource

if TYPE_CHECKING:
    from engage_etl.store.engine import Store

GROUP = "contact_import"
OWNERS = ["team:engage-etl"]
TAGS = {"layer": "import", "refreshed": "by-each-import"}
"""Tags of the stages, by which assets can be filtered; those of the marts are in ``marts/asset.py``."""
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
        """Metadata: where a kept file or folder is, as people find it."""
        return dg.MetadataValue.path(self.store.kept.shown(path))

    def report(self) -> dict[str, Any]:
        """Metadata: where the report lies, and its page as the web server of ``engage-etl up`` shows it."""
        folder = self.store.report_dir(self.import_id)
        return {"report": self.path(folder), "report_page": dg.MetadataValue.url(page_address(self.import_id))}

    @property
    def shows_personal_data(self) -> bool:
        """Whether a setting lets metadata show personal data (R41)."""
        return self.store.settings.show_personal_data


@contextmanager
def run_stage(
    context: dg.AssetExecutionContext | dg.OpExecutionContext,
    store: StoreResource,
    step: str | None = None,
    *,
    is_shared: bool = False,
) -> Iterator[StageRun]:
    """Open the store, hold the import's lock, and turn our errors into a failure with their sentence.

    A lost connection is waited for, and the stage is then tried again; nothing else is. step: name of a part of a stage,
    for the log; is_shared: other such parts of the import may run at the same time.

    Raises:
        dagster.Failure: the stage ended with an error of ours, or the server or the disk did not play along.
        dagster.RetryRequested: it lost its connection, which is there again.
    """
    from engage_etl.stage_run import import_stage
    from engage_etl.store.outages import OUTAGES

    try:
        _demand_run_at_work(context)
        opened = store.open()
        start_logging(opened.settings.log_format)
        _tag_run(context, opened)
        step = step or context.asset_key.to_user_string()
        with import_stage(opened, context.partition_key, step, is_shared=is_shared):
            yield StageRun(context.partition_key, opened)
    except (EngageError, *OUTAGES) as error:
        _try_again_if_lost(error, context)
        found = _report_of(context.partition_key)
        raise dg.Failure(description=_sentence(error), metadata=found, allow_retries=False) from None


def _tag_run(context: dg.AssetExecutionContext | dg.OpExecutionContext, store: Store) -> None:
    """Give a run that people started on the web page the tags that all others have from the start."""
    from engage_etl.store.imports import load_import
    from engage_etl.triggers.runs import FILE, run_tags

    if FILE not in context.run.tags:
        context.instance.add_run_tags(context.run_id, run_tags(load_import(store.engine, context.partition_key)))


def _report_of(import_id: str) -> dict[str, Any]:
    """Metadata of a failure: the page of the import's report, if one was written."""
    from engage_etl.reports.page_file import page_of
    from engage_etl.settings import load_settings

    is_there = page_of(load_settings(), import_id) is not None
    return {"report_page": dg.MetadataValue.url(page_address(import_id))} if is_there else {}


def _demand_run_at_work(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> None:
    """A worker may begin a stage late whose run was given up meanwhile, as its silence was too long.

    Raises:
        dagster.Failure: the run has ended.
    """
    if load_settings().executor is Executor.CELERY:
        run = context.instance.get_run_by_id(context.run_id)
        if run is None or run.is_finished:
            raise dg.Failure(description="The run of this stage has ended; nothing was done.", allow_retries=False)


def _try_again_if_lost(error: Exception, context: dg.AssetExecutionContext | dg.OpExecutionContext) -> None:
    """Wait until the connection is there again; a source elsewhere is asked again after the same pauses.

    Nothing may be logged before: the event log is on the same server.

    Raises:
        dagster.RetryRequested: it is.
    """
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


def share(part: int, whole: int) -> float:
    """Metadata: which part of the whole; 0 of nothing."""
    return round(part / whole, 6) if whole else 0.0


def counts_table(counts: Mapping[str, int], name: str) -> dg.TableMetadataValue | dg.TextMetadataValue:
    """Metadata: counts under a name, the largest first."""
    ordered = sorted(counts.items(), key=lambda count: (-count[1], count[0]))
    return table([{name: key, "rows": value} for key, value in ordered])
