"""Erase one person: first from files and runs, then from the store, by which they are found (decision 0017).

A record is made first. Each step can be repeated, and the store, which knows who it is, comes last in one transaction:
what a killed process left is completed by running it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sqlalchemy import ColumnElement, Connection, func, select
from sqlalchemy.exc import OperationalError

from engage_etl.erasure.arrived_texts import names_person
from engage_etl.erasure.person import Person, find_person
from engage_etl.erasure.report_lines import erase_report_lines, find_report_rows
from engage_etl.erasure.stage_rows import erase_stage_rows, find_stage_rows
from engage_etl.erasure.store_rows import erase_from_store, planned_rows
from engage_etl.errors import ImportEnded, StoreUnavailable, UsageError
from engage_etl.raw_file.handing_over import is_elsewhere
from engage_etl.raw_file.stage import where_it_arrived
from engage_etl.retention.kept_files import paths_of, remove, size_of
from engage_etl.stage_run import finish_import
from engage_etl.store.contacts import is_id
from engage_etl.store.engine import Store
from engage_etl.store.erasures import Erasure, add_erased, begin_erasure, end_erasure, find_erasures
from engage_etl.store.imports import Import, ImportFile, find_file, import_lock, list_imports, mark_failed
from engage_etl.store.loading_tables import PATIENTLY, drop_abandoned, drop_loaded
from engage_etl.store.outages import LOCK_NOT_AVAILABLE, sqlstate
from engage_etl.store.removals import Kind, begin_removal, end_removal, end_removals_by, find_removals
from engage_etl.store.tables import contact
from engage_etl.validated_rows.stage_files import rejected_file, valid_file

_WHOLE = (f"{Kind.RAW_FILE}s", f"{Kind.SETTLED_FILE}s")
_LOG = "log"
_ENDED = "a person in it was erased, and nothing was applied. Import the file again without that person."


class RunsOfPeople(Protocol):
    """The runs of imports as Dagster keeps them."""

    def remove_naming(self, import_ids: Collection[str], texts: Collection[str], *, dry_run: bool) -> int:
        """Remove the runs of these imports whose events hold one of the texts; returns how many there were."""
        ...


@dataclass
class Trace:
    """An import as it has to be looked at. rows: numbers of the person's rows; files: to be removed as a whole, by kind.

    is_in_it: whether the person is in the import in any way; else only messages about other rows may name them.
    """

    entry: Import
    record: ImportFile | None
    rows: set[int]
    files: dict[Kind, list[Path]] = field(default_factory=dict)
    is_in_it: bool = False


@dataclass(frozen=True)
class Forgotten:
    """What an erasure did, or would do. erased: how much, by where; removed: files that are removed as a whole."""

    contact_id: int
    erasure: Erasure | None
    erased: dict[str, int]
    imports: list[str]
    removed: list[str]
    ended: list[str]


def forget(
    store: Store, runs: RunsOfPeople, contact_id: int, *, by: str, end_imports: bool = False, dry_run: bool = False
) -> Forgotten:
    """Erase a contact from everything that is kept.

    by: who asked for it; end_imports: imports on their way that the person is in end without being applied.

    Raises:
        UsageError: there is no such contact, or imports on their way have the person in them.
        ImportBusy: somebody works on an import that the person is in; what was erased so far stays erased.
    """
    with store.engine.connect() as connection:
        found = find_erasures(connection, contact_id) if is_id(contact_id) else []
        _demand_not_erased(found, contact_id)
        person = find_person(connection, contact_id)
        _demand_folders(store, connection)
    if not dry_run:
        _demand_dropped(drop_abandoned(store, PATIENTLY).held)
    traces = find_traces(store, person)
    on_their_way = [trace.entry for trace in traces if trace.is_in_it and not trace.entry.has_ended]
    if on_their_way and not dry_run:
        _end_imports(store, person, on_their_way, end_imports=end_imports)
        traces = find_traces(store, person)
    begun = None if dry_run else _begin(store, contact_id, by)
    erased = Counter[str]()
    for trace in traces:
        erased += _erase_files(store, person, trace, begun)
    ids = [trace.entry.import_id for trace in traces if trace.is_in_it]
    erased["runs"] = runs.remove_naming(ids, person.all_texts, dry_run=dry_run)
    erased["log_files"] = _remove_logs(store, person, dry_run=dry_run)
    erased += _erase_rows(store, person, ids, begun, erased)
    removed = [str(path) for trace in traces for paths in trace.files.values() for path in paths]
    ended = sorted(entry.import_id for entry in on_their_way)
    return Forgotten(contact_id, begun, dict(erased), ids, removed, ended)


def _demand_dropped(held: list[str]) -> None:
    """What killed imports have left in tables that several connections loaded may name anybody."""
    if held:
        raise StoreUnavailable(
            f"Another program reads the loaded rows of import {', '.join(held)}, which a killed process has left. Run the "
            "command again when it has ended."
        )


def find_traces(store: Store, person: Person) -> list[Trace]:
    """The imports whose files have to be looked at, with the rows that are the person's; reads all files that are kept."""
    with store.engine.connect() as connection:
        entries = list_imports(connection)
        known = planned_rows(connection, person)
        records = {entry.import_id: find_file(connection, entry.import_id) for entry in entries}
    traces: list[Trace | None] = []
    for entry in entries:
        _fetch(store, entry)
        traces.append(_trace(store, person, entry, records[entry.import_id], known))
        store.kept.release(entry.import_id)
    found = [trace for trace in traces if trace is not None]
    _share_out(found)
    return found


def _share_out(traces: list[Trace]) -> None:
    """The imports of an archive share the file that was dropped: it is removed once."""
    seen: set[Path] = set()
    for trace in traces:
        for kind, paths in trace.files.items():
            trace.files[kind] = [path for path in paths if path not in seen]
            seen.update(paths)


def _trace(
    store: Store, person: Person, entry: Import, record: ImportFile | None, known: dict[str, set[int]]
) -> Trace | None:
    report = store.report_dir(entry.import_id)
    rows = set(known.get(entry.import_id, ()))
    rows |= find_stage_rows(store.import_dir(entry.import_id), person)
    rows |= find_report_rows(report, record, person)
    trace = Trace(entry, record, rows)
    character_set = record.character_set if record is not None else None
    for kind in (Kind.RAW_FILE, Kind.SETTLED_FILE):
        paths = _arrived_files(store, entry, kind)
        if paths and (rows or any(names_person(file, character_set, person) for file in _files_in(paths))):
            trace.files[kind] = paths
    place = where_it_arrived(store, entry)
    is_arriving = not entry.has_ended and isinstance(place, Path) and names_person(place, character_set, person)
    trace.is_in_it = bool(rows or trace.files) or entry.import_id in known or is_arriving
    return trace if trace.is_in_it or report.is_dir() else None


def _fetch(store: Store, entry: Import) -> None:
    """What is kept of an import, on this machine."""
    store.kept.fetched(store.import_dir(entry.import_id))
    store.kept.fetched(store.report_dir(entry.import_id))


def _arrived_files(store: Store, entry: Import, kind: Kind) -> list[Path]:
    """Where the bytes of an arrival lie; of an import that has just ended, a dropped file may not be put away yet."""
    found = paths_of(store, entry, kind)
    if kind is Kind.SETTLED_FILE and entry.has_ended and entry.claimed_path is not None:
        found += [path for path in [entry.arrived_path] if isinstance(path, Path) and path.is_file()]
    return found


def _files_in(paths: Collection[Path]) -> Iterator[Path]:
    for path in paths:
        yield from (file for file in path.rglob("*") if file.is_file()) if path.is_dir() else (path,)


def _demand_not_erased(found: list[Erasure], contact_id: int) -> None:
    if found and found[-1].ended_at is not None:
        last = found[-1]
        raise UsageError(f"Contact {contact_id} was erased on {last.ended_at:%Y-%m-%d} (erasure {last.erasure_id}).")


def _demand_folders(store: Store, connection: Connection) -> None:
    """Files that were dropped on a disk of another machine can neither be looked into nor removed from here."""
    for entry in list_imports(connection):
        gone = {removal.kind for removal in find_removals(connection, entry.import_id)}
        if Kind.SETTLED_FILE not in gone and is_elsewhere(store, entry):
            raise UsageError(
                f"{entry.file} of import {entry.import_id} was dropped into {Path(entry.source_path).parent}, which is not on "
                "this machine; run the command on the machine with the drop folders."
            )


def _begin(store: Store, contact_id: int, by: str) -> Erasure:
    with store.engine.begin() as connection:
        return begin_erasure(connection, contact_id, by)


def _end_imports(store: Store, person: Person, entries: list[Import], *, end_imports: bool) -> None:
    """Imports that have not ended would bring the person back, or be applied without a word about what they lost."""
    if not end_imports:
        raise UsageError(
            f"Contact {person.contact_id} is in imports that can still be applied: "
            f"{', '.join(sorted(entry.import_id for entry in entries))}. Let them end first, or end them with "
            "--end-imports; nothing of them is applied then."
        )
    for entry in entries:
        with import_lock(store.locks, entry.import_id):
            with store.engine.begin() as connection:
                mark_failed(connection, entry.import_id, ImportEnded(f"{entry.file}: {_ENDED}"))
            finish_import(store, entry.import_id, by_sensor=True)


def _erase_files(store: Store, person: Person, trace: Trace, begun: Erasure | None) -> Counter[str]:
    """Erase from the files of one import with its lock held. begun: None for a dry run."""
    _fetch(store, trace.entry)
    if begun is None:
        return _erase_in_files(store, person, trace, None)
    if not trace.is_in_it and not _erase_in_files(store, person, trace, None):
        return Counter()
    with import_lock(store.locks, trace.entry.import_id):
        _fetch(store, trace.entry)
        if not drop_loaded(store, trace.entry.import_id, PATIENTLY):
            _demand_dropped([trace.entry.import_id])
        erased = _erase_in_files(store, person, trace, begun)
        # Files that go as a whole are counted by their removals, which a killed process has entered, too.
        lines = {name: number for name, number in erased.items() if name not in _WHOLE}
        with store.engine.begin() as connection:
            add_erased(connection, begun, lines)
    store.kept.release(trace.entry.import_id)
    return erased


def _erase_in_files(store: Store, person: Person, trace: Trace, begun: Erasure | None) -> Counter[str]:
    entry, is_dry = trace.entry, begun is None
    erased = Counter[str]()
    folder, report = store.import_dir(entry.import_id), store.report_dir(entry.import_id)
    erased["stage_rows"] = erase_stage_rows(folder, trace.rows, dry_run=is_dry)
    lines = erase_report_lines(report, trace.record, person, trace.rows, dry_run=is_dry)
    erased["report_lines"] = lines
    if lines and not is_dry:
        # Copies of the report, where there are no links.
        copies = (path for path in paths_of(store, entry, Kind.REPORT) if path != report and not path.is_symlink())
        remove(store, entry, copies)
    if not is_dry:
        _publish(store, folder, report)
    for kind, paths in trace.files.items():
        size = size_of(store, paths)
        erased[f"{kind}s"] += size.files
        if begun is not None:
            _remove_whole(store, entry, kind, paths, begun)
    return erased


def _publish(store: Store, folder: Path, report: Path) -> None:
    """Hand over the files that other lines stay in; those that have not changed are left alone."""
    for path in (valid_file(folder), rejected_file(folder), report):
        if path.exists():
            store.kept.publish(path)


def _remove_whole(store: Store, entry: Import, kind: Kind, paths: list[Path], begun: Erasure) -> None:
    """Remove a file as it arrived: its bytes are kept unchanged or not at all (R28)."""
    size = size_of(store, paths)
    with store.engine.begin() as connection:
        begin_removal(connection, entry.import_id, kind, _cause(begun), files=size.files, bytes=size.bytes)
    remove(store, entry, paths)
    with store.engine.begin() as connection:
        end_removal(connection, entry.import_id, kind)


def _cause(begun: Erasure) -> str:
    """How it is named where people ask for what is gone."""
    return f"contacts forget (erasure {begun.erasure_id})"


def _remove_logs(store: Store, person: Person, *, dry_run: bool) -> int:
    """Details of what nobody foresaw may hold anything."""
    folder = store.settings.root / _LOG
    found = [file for file in sorted(folder.glob("*.log")) if names_person(file, "utf-8", person)]
    for file in [] if dry_run else found:
        file.unlink(missing_ok=True)
    return len(found)


def _erase_rows(
    store: Store, person: Person, imports: Collection[str], begun: Erasure | None, so_far: Counter[str]
) -> Counter[str]:
    """The store, in one transaction; a dry run takes it back."""
    with _transaction(store) as connection:
        # Waits for an import that is being applied, while nothing else is locked.
        connection.execute(select(contact.c.contact_id).where(_is(person)).with_for_update())
        if left := planned_rows(connection, person).keys() - set(imports):
            raise UsageError(f"Import {min(left)} has come to this contact meanwhile; run the command again.")
        erased = erase_from_store(connection, person, imports)
        if begun is None:
            connection.rollback()
            return erased
        whole = {f"{kind}s": files for kind, files in end_removals_by(connection, _cause(begun)).items()}
        add_erased(connection, begun, erased + Counter(whole | {name: so_far[name] for name in ("runs", "log_files")}))
        end_erasure(connection, begun)
        connection.commit()
    return erased


def _is(person: Person) -> ColumnElement[bool]:
    return contact.c.contact_id == person.contact_id


@contextmanager
def _transaction(store: Store) -> Iterator[Connection]:
    """A transaction that waits for an import that is being applied no longer than the settings allow.

    Raises:
        StoreUnavailable: others held the contact longer.
    """
    limit = f"{round(store.settings.lock_wait_limit * 1000)}ms"
    try:
        with store.engine.connect() as connection:
            connection.execute(select(func.set_config("lock_timeout", limit, True)))
            yield connection
    except OperationalError as error:
        if sqlstate(error) != LOCK_NOT_AVAILABLE:
            raise
        raise StoreUnavailable(
            "Another program holds the contact, and it is not erased yet; run the command again when that has ended."
        ) from None
