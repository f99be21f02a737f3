"""``engage-etl demo``: from an empty folder to imported files, to be watched in a minute."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from sqlalchemy import select

from engage_etl.cli.import_summary import print_summary
from engage_etl.cli.output import only_results_on_stdout, result_console, table
from engage_etl.cli.progress import import_progress
from engage_etl.cli.samples import samples_folder
from engage_etl.errors import EngageError, UsageError
from engage_etl.reports.report import as_text
from engage_etl.settings import Settings, load_settings
from engage_etl.store.contacts import by_identifier, find_contacts
from engage_etl.store.engine import Store, embedded_server, open_store
from engage_etl.store.groups import create_group
from engage_etl.store.imports import Import, find_import, register_import
from engage_etl.store.tables import plan_row
from engage_etl.triggers.run_import import run_imports
from engage_etl.vocabulary.options import ImportOptions
from engage_etl.vocabulary.outcomes import Outcome, Status

GROUP = "Newsletter"
EXAMPLE = "12345"
"""Identifier of the contact whose address changes as in R5."""

_SEED = "contacts.csv"
_UPDATES = ("crm-update.csv", "crm-update.xml")
_MARK = "engage-etl-demo"
_ROWS_SHOWN = 8


def run_demo(folder: Path) -> None:
    """Make the demo's folder anew, fill the store, import the samples and print what changed.

    Raises:
        UsageError: the folder is there and is no demo's.
        EngageError: a sample was not imported.
    """
    started = time.monotonic()
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
        for entry in updates:
            _print_changes(store, entry)
        console.print(f"\n[bold]The contact with identifier {EXAMPLE}[/]: {before} → [bold green]{_address(store)}[/]")
    _print_next(settings, time.monotonic() - started)


def _make_anew(settings: Settings) -> None:
    folder = settings.root
    mark = folder / _MARK
    if folder.exists() and not mark.exists() and any(folder.iterdir()):
        raise UsageError(f"The folder {folder} is there and is no demo's; name another with --folder.")
    if mark.exists():
        embedded_server(settings).stop(even_if_used=True)
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark.touch()


def _import(store: Store, names: list[str], *, uses_identifier: bool) -> list[Import]:
    options = ImportOptions(group=GROUP, use_external_identifier=uses_identifier)
    with store.engine.begin() as connection:
        ids = [register_import(connection, samples_folder() / name, options) for name in names]
        entries = [find_import(connection, import_id) for import_id in ids]
    with only_results_on_stdout(), import_progress() as progress:
        run_imports(store.settings, entries, progress)
    with store.engine.connect() as connection:
        entries = [find_import(connection, import_id) for import_id in ids]
    for entry in entries:
        if entry.status is not Status.APPLIED:
            raise EngageError(f"The sample {entry.file} was not imported: {entry.error_message}")
    return entries


def _address(store: Store) -> str:
    with store.engine.connect() as connection:
        return str(find_contacts(connection, by_identifier(EXAMPLE), history=False)[0]["email"])


def _print_changes(store: Store, entry: Import) -> None:
    columns = plan_row.c
    query = (
        select(columns.row, columns.contact_id, columns.changes)
        .where(columns.import_id == entry.import_id, columns.outcome == Outcome.UPDATED.value)
        .order_by(columns.row)
        .limit(_ROWS_SHOWN)
    )
    with store.engine.connect() as connection:
        found = connection.execute(query).all()
    rows = [
        (entry.file, str(row.row), str(row.contact_id), field, as_text(before), "→", as_text(after))
        for row in found
        for field, (before, after) in row.changes.items()
    ]
    result_console().print(table("file", "row", "contact", "field", "before", "", "after", rows=rows))


def _print_next(settings: Settings, seconds: float) -> None:
    console = result_console()
    here = f"ENGAGE_DATA_DIR={settings.data_dir}"
    console.print(f"\nDone in {seconds:.0f} s. Where to look next:\n")
    for command, meaning in (
        (f"{here} engage-etl up", "the web page: runs, lineage, what each stage left"),
        (f"{here} engage-etl contacts show --identifier {EXAMPLE} --history", "one contact and its history"),
        (f"{here} engage-etl imports list", "the imports"),
        (f"{here} engage-etl db stop", "stop the embedded server of the demo"),
    ):
        console.print(f"  {command}\n      {meaning}", markup=False)
