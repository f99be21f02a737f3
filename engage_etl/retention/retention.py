"""One night's retention: what is older than the settings allow is removed, import by import (R42, decision 0017).

Each removal is entered first, then done, then marked as done. It can be killed at any moment and be run again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from engage_etl.errors import ImportBusy, SourceUnavailable
from engage_etl.raw_file.handing_over import is_elsewhere
from engage_etl.retention.due import Period, due_imports, periods
from engage_etl.retention.kept_files import Size, paths_of, remove, size_of
from engage_etl.retention.old_plans import delete_plan_in_blocks, drop_month, droppable_months, plan_sizes
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, find_import, import_lock, is_alive
from engage_etl.store.loading_tables import drop_abandoned
from engage_etl.store.removals import Kind, begin_removal, end_removal


class ImportRuns(Protocol):
    """The runs of imports as Dagster keeps them."""

    def counts(self, import_ids: Collection[str]) -> dict[str, int]:
        """How many runs each of some imports has, 0 included; those with a run that has not ended are left out."""
        ...

    def remove(self, import_id: str) -> None:
        """Remove the runs of an import with their events, and its partition."""
        ...

    def remove_others(self, before: datetime, *, dry_run: bool) -> int:
        """Remove runs of no import, as of the housekeeping, that were created before; returns how many there were."""
        ...


@dataclass
class KindResult:
    """What goes of one kind. imports, files, bytes, rows: how many; rows: of plans, or runs; months: dropped whole.

    left: sentences about what could not be removed this time.
    """

    kind: str
    setting: str
    days: int | None
    imports: int = 0
    files: int = 0
    bytes: int = 0
    rows: int = 0
    months: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def as_object(self) -> dict[str, Any]:
        """As an object of the public interface."""
        return asdict(self)

    def add(self, size: Size) -> None:
        """Count one more import, if there was anything of it."""
        if size.files or size.rows:
            self.imports, self.files, self.bytes = self.imports + 1, self.files + size.files, self.bytes + size.bytes
            self.rows += size.rows


def run_retention(
    store: Store, runs: ImportRuns, *, dry_run: bool = False, now: datetime | None = None
) -> list[KindResult]:
    """Remove what is older than the settings allow, or say what would be; one result for each kind.

    An import that has not ended, or that somebody works on, is left alone. What killed imports have left in tables that
    several connections loaded goes, too. now: the end of the periods.
    """
    if not dry_run:
        drop_abandoned(store)
    return [_Night(store, period, dry_run).run(runs) for period in periods(store.settings, now)]


class _Night:
    """The removal of one kind. dry_run: nothing is removed, and the same is counted."""

    def __init__(self, store: Store, period: Period, dry_run: bool) -> None:
        self._store, self._period, self._dry_run = store, period, dry_run
        self._result = KindResult(period.kind.value, period.variable, period.days)

    def run(self, runs: ImportRuns) -> KindResult:
        """Find what is due, and remove it."""
        if self._period.before is None:
            return self._result
        with self._store.engine.connect() as connection:
            due = due_imports(connection, self._period)
            due = [entry for entry in due if not is_alive(connection, entry.import_id)]
        if self._period.kind is Kind.PLAN:
            self._remove_plans(due, self._period.before)
        elif self._period.kind is Kind.RUNS:
            self._remove_runs(due, runs)
            self._result.rows += runs.remove_others(self._period.before, dry_run=self._dry_run)
        else:
            self._remove_files(due)
        return self._result

    def _remove_files(self, due: list[Import]) -> None:
        seen: set[Path] = set()
        for entry in due:
            if self._period.kind is Kind.SETTLED_FILE and is_elsewhere(self._store, entry):
                self._result.left.append(f"{entry.settled_path} lies on another machine; retention there removes it.")
                continue
            try:
                # The imports of an archive share the file that was dropped.
                paths = [path for path in paths_of(self._store, entry, self._period.kind) if path not in seen]
                seen.update(paths)
                self._remove(entry, size_of(self._store, paths), partial(remove, self._store, entry, paths))
            except SourceUnavailable as error:
                self._result.left.append(str(error))
            except OSError as error:
                self._result.left.append(
                    f"{error.filename} cannot be removed ({error.strerror}); it is tried again the next time."
                )

    def _remove_runs(self, due: list[Import], runs: ImportRuns) -> None:
        counts = runs.counts([entry.import_id for entry in due])
        for entry in due:
            if entry.import_id in counts:
                self._remove(entry, Size(rows=counts[entry.import_id]), partial(runs.remove, entry.import_id))

    def _remove_plans(self, due: list[Import], before: datetime) -> None:
        """Whole months first: what is dropped need not be deleted row by row."""
        ids = [entry.import_id for entry in due]
        with self._store.engine.connect() as connection:
            rows = plan_sizes(connection, ids)
            months = droppable_months(connection, ids, before)
        self._drop(months, rows)
        for entry in due:
            size = Size(rows=rows.get(entry.import_id, 0))
            self._remove(entry, size, partial(delete_plan_in_blocks, self._store, entry.import_id))

    def _drop(self, months: list[date], rows: dict[str, int]) -> None:
        """Drop months; what each import loses is entered before, so that it can tell where its plan is."""
        if months and not self._dry_run:
            with self._store.engine.begin() as connection:
                for import_id, number in rows.items():
                    begin_removal(connection, import_id, self._period.kind, self._period.cause, rows=number)
        for month in months:
            name = f"{month:%Y-%m}"
            if self._dry_run or drop_month(self._store, month):
                self._result.months.append(name)
            else:
                self._result.left.append(f"The plans of {name} are in use; their month is dropped the next time.")

    def _remove(self, entry: Import, size: Size, work: Callable[[], None]) -> None:
        """Enter a removal, do it with the import's lock held, and enter its end.

        An import that has come to life meanwhile is passed over until the next time.
        """
        if self._dry_run:
            self._result.add(size)
            return
        kind, engine = self._period.kind, self._store.engine
        try:
            with import_lock(self._store.locks, entry.import_id):
                with engine.begin() as connection:
                    if not find_import(connection, entry.import_id).has_ended:
                        return
                    begin_removal(connection, entry.import_id, kind, self._period.cause, **asdict(size))
                work()
                with engine.begin() as connection:
                    end_removal(connection, entry.import_id, kind)
        except ImportBusy as busy:
            self._result.left.append(str(busy))
            return
        self._result.add(size)
