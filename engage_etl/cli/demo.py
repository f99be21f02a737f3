"""``engage-etl demo``: from an empty folder to imported files, to be watched in a minute."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from pathlib import Path

from sqlalchemy import select

from engage_etl.cli.import_runs import import_by_hand
from engage_etl.cli.import_summary import print_summary
from engage_etl.cli.output import only_results_on_stdout, result_console, table
from engage_etl.cli.samples import samples_folder
from engage_etl.errors import EngageError, UsageError
from engage_etl.reports.changes_file import as_text
from engage_etl.settings import Settings, load_settings
from engage_etl.store.cluster import make_data_folder
from engage_etl.store.contacts import by_identifier, find_contacts
from engage_etl.store.engine import Store, embedded_server, open_store
from engage_etl.store.groups import create_group
from engage_etl.store.imports import Import
from engage_etl.store.tables import plan_row
from engage_etl.vocabulary.options import ImportOptions
from engage_etl.vocabulary.outcomes import Outcome, Status

GROUP = "Newsletter"
EXAMPLE = "12345"
"""Identifier of the contact whose address changes as in R5."""

_SEED = "contacts.csv"
_UPDATES = ("crm-update.csv", "crm-update.xml")
_MARK = "engage-etl-demo"
_EXTERNAL = "ENGAGE_DATABASE_URL"
_ROWS_SHOWN = 8


def run_demo(folder: Path) -> None:
    """Make the demo's folder anew, fill the store, import the samples and print what changed.

    Raises:
        UsageError: the folder is there and is no demo's.
        EngageError: a sample was not imported.
    """
    started = time.monotonic()
    # The assets read the environment: samples have no business in the store that it may name.
    has_other_store = os.environ.pop(_EXTERNAL, None) is not None
    settings = load_settings(data_dir=folder.absolute(), database_url=None)
    _make_anew(settings)
    console = result_console()
    with open_store(settings) as store:
        with store.engine.begin() as connection:
            create_group(connection, GROUP)
        seed = _import(store, [_SEED], uses_identifier=False)[0]
        before = _address(store)
        console.print(f"[bold]1. A store with {seed.created:,} contacts[/] in the group {GROUP} ({settings.root})\n")
        console.print("[bold]2. Two files from the CRM, matched on the external identifier[/]\n")
        updates = _import(store, list(_UPDATES), uses_identifier=True)
        for entry in updates:
            print_summary(store, entry)
            console.print()
        console.print("[bold]3. What changed, field by field[/]\n")
        names = ("file", "row", "contact", "field", "before", "", "after")
        console.print(table(*names, rows=(change for entry in updates for change in _changes(store, entry))))
        console.print(f"\n[bold]The contact with identifier {EXAMPLE}[/]: {before} → [bold green]{_address(store)}[/]")
    console.print(f"\nDone in {time.monotonic() - started:.0f} s. Where to look next:\n")
    _print_next(settings, updates[0], has_other_store=has_other_store)


def _make_anew(settings: Settings) -> None:
    folder = settings.root
    mark = folder / _MARK
    if folder.exists() and not mark.exists() and any(folder.iterdir()):
        raise UsageError(f"The folder {folder} is there and is no demo's; name another with --folder.")
    if mark.exists():
        embedded_server(settings).stop(even_if_used=True)
        shutil.rmtree(folder)
    make_data_folder(folder)
    mark.touch()


def _import(store: Store, names: list[str], *, uses_identifier: bool) -> list[Import]:
    options = ImportOptions(group=GROUP, use_external_identifier=uses_identifier)
    with only_results_on_stdout():
        entries = import_by_hand(store, [samples_folder() / name for name in names], options)
    for entry in entries:
        if entry.status is not Status.APPLIED:
            raise EngageError(f"The sample {entry.file} was not imported: {entry.error_message}")
    return entries


def _address(store: Store) -> str:
    with store.engine.connect() as connection:
        return str(find_contacts(connection, by_identifier(EXAMPLE), history=False)[0]["email"])


def _changes(store: Store, entry: Import) -> list[tuple[str, ...]]:
    """The changes of the first rows that update a contact, a line per field."""
    columns = plan_row.c
    query = (
        select(columns.row, columns.contact_id, columns.changes)
        .where(columns.import_id == entry.import_id, columns.outcome == Outcome.UPDATED.value)
        .order_by(columns.row)
        .limit(_ROWS_SHOWN)
    )
    with store.engine.connect() as connection:
        found = connection.execute(query).all()
    return [
        (entry.file, str(row.row), str(row.contact_id), field, as_text(before), "→", as_text(after))
        for row in found
        for field, (before, after) in row.changes.items()
    ]


def _print_next(settings: Settings, entry: Import, *, has_other_store: bool) -> None:
    console = result_console()
    without = f"env -u {_EXTERNAL} " if has_other_store else ""
    call = f"{without}ENGAGE_DATA_DIR={shlex.quote(_short(settings.root))} {shlex.quote(_program())}"
    for command, meaning in (
        (f"{call} up", "the web page: runs, lineage, what each stage left"),
        (f"{call} contacts show --identifier {EXAMPLE} --history", "one contact and its history"),
        (f"{call} imports rows {entry.import_id}", "what became of each row"),
        (f"ls {shlex.quote(_short(settings.report_dir(entry.import_id)))}", "the report, with the rejected rows"),
        (f"{call} db stop", "stop the database server of the demo"),
    ):
        console.print(f"  {command}\n      {meaning}", markup=False, soft_wrap=True)


def _program() -> str:
    """How to call this program from here: by its name only if that finds it."""
    beside = Path(sys.executable).with_name("engage-etl")
    found = shutil.which("engage-etl")
    return "engage-etl" if found is not None and Path(found) == beside else _short(beside)


def _short(path: Path) -> str:
    """A path as seen from here."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
