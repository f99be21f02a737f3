"""What surrounds each stage of an import: its lock, and what happens to an import that ends (R40)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from engage_etl.applied_updates.revert import revert_import
from engage_etl.applied_updates.stage import apply_updates, reject_plan
from engage_etl.errors import ImportEnded, Removed, ReportMissing, SourceUnavailable
from engage_etl.logs import logged_step
from engage_etl.match_plan.stage import make_plan
from engage_etl.raw_file.settling import settle_file
from engage_etl.raw_file.stage import forget_plain_text
from engage_etl.reports.report import report_around, write_report
from engage_etl.sources.opening import Sources
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, find_import, import_lock, mark_failed
from engage_etl.store.loading_tables import AT_ONCE, drop_loaded
from engage_etl.store.outages import OUTAGES, cause, remedy
from engage_etl.validated_rows.stage import forget_ranges

_log = logging.getLogger(__name__)


@contextmanager
def import_stage(store: Store, import_id: str, step: str = "stage", *, is_shared: bool = False) -> Iterator[None]:
    """Run a stage with the import's lock held; an import that ends here gets its report and its file is put away.

    step: name of the stage, for the log; is_shared: other such steps of the import may run at the same time.

    Raises:
        ImportBusy: another process works on the import.
        ImportUnknown: there is no such import.
        ImportEnded: as raised by the stage, after it is recorded.
    """
    with store.engine.connect() as connection:
        find_import(connection, import_id)
    with import_lock(store.locks, import_id, is_shared=is_shared):
        try:
            with logged_step(store, import_id, step):
                yield
        except ImportEnded as ended:
            with store.engine.begin() as connection:
                mark_failed(connection, import_id, ended)
            try:
                finish_import(store, import_id)
            except (ReportMissing, SourceUnavailable) as missing:
                # What ended the import is what people have to hear of.
                _log.warning("%s", missing)
            raise


def plan_and_report(store: Store, import_id: str) -> Import:
    """Make the plan of an import; where that is its end, or a person is to look at it, write its report too (R34, R35).

    The file of an import that waits stays claimed; that of a dry run is put away.

    Raises:
        EngageError: as ``make_plan``.
        ReportMissing: as ``finish_import``.
    """
    planned = make_plan(store, import_id)
    if planned.is_reported and planned.report is None:
        finish_import(store, import_id)
    return planned


def apply_and_finish(store: Store, import_id: str) -> None:
    """Apply the plan of an import, write its report and put its file away.

    Most of the report is written while the plan is applied, which keeps the server busy and this process waiting. Of an
    import that is applied already and of which something was removed since, the report stays as it is (R42).

    Raises:
        EngageError: as ``apply_updates``.
        ReportMissing: as ``finish_import``.
    """
    applied = None
    try:
        with report_around(store, import_id):
            applied = apply_updates(store, import_id)
    except Removed:
        with store.engine.connect() as connection:
            if not find_import(connection, import_id).status.is_final:
                raise
    except OUTAGES as error:
        if applied is None:
            raise
        raise _report_missing(store, applied, error) from error
    forget_plain_text(store, import_id)
    try:
        settle_file(store, import_id)
    except SourceUnavailable as error:
        # The import is applied; the sensor puts the file away when its source answers again.
        _log.warning("%s", error)


def reject_and_finish(store: Store, import_id: str, *, because: str, by: str) -> None:
    """End an import that waits for a person without applying it; write its report and put its file away (R35).

    Raises:
        ImportBusy: another process works on the import.
        UsageError: as ``reject_plan``.
        ReportMissing: as ``finish_import``.
    """
    with import_lock(store.locks, import_id):
        reject_plan(store, import_id, because=because, by=by)
        finish_import(store, import_id)


def revert_and_finish(store: Store, import_id: str, by: str | None = None) -> Import:
    """Take back what an import did and write the report of the revert; returns the register's entry of the revert.

    Can be repeated: what is reverted stays so, and a report that is missing is written.

    Raises:
        EngageError: as ``revert_import``; ImportBusy: another process works on the import.
        ReportMissing: as ``finish_import``.
    """
    with store.engine.connect() as connection:
        find_import(connection, import_id)
    with import_lock(store.locks, import_id):
        revert = revert_import(store, import_id, by)
        if revert.report is None:
            finish_import(store, revert.import_id)
    with store.engine.connect() as connection:
        return find_import(connection, revert.import_id)


def finish_import(store: Store, import_id: str, sources: Sources | None = None, *, by_sensor: bool = False) -> None:
    """Write the report of an import that ended and put its file away; both can be repeated.

    A report that cannot be written any more, as retention removed what it is made from, is left as it is (R42).

    sources: those that are open already; by_sensor: as for ``settle_file``.

    Raises:
        ReportMissing: the report cannot be written, and the file stays where it is; the import stays as it ended.
        SourceUnavailable: the file cannot be put away at its source; all else is done.
    """
    with store.engine.connect() as connection:
        entry = find_import(connection, import_id)
    forget_ranges(store, import_id)
    drop_loaded(store, import_id, AT_ONCE)
    try:
        write_report(store, import_id)
    except Removed as removed:
        _log.warning("%s", removed)
    except OUTAGES as error:
        raise _report_missing(store, entry, error) from error
    forget_plain_text(store, import_id)
    settle_file(store, import_id, sources, by_sensor=by_sensor)


def _report_missing(store: Store, entry: Import, error: Exception) -> ReportMissing:
    return ReportMissing(
        f"{entry.file}: the import is {entry.status.value}, but its report could not be written: "
        f"{cause(error, store.settings)}. To get it, {remedy(error)}, then run `engage-etl imports report {entry.import_id}`."
    )
