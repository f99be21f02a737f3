"""A report copied to a folder of this machine, for people whose reports are kept in a bucket."""

from __future__ import annotations

import shutil
from pathlib import Path

from engage_etl.errors import UsageError
from engage_etl.reports.private_files import replaced_folder
from engage_etl.store.engine import Store
from engage_etl.store.removals import Kind, demand_kept


def copy_report(store: Store, import_id: str, folder: Path) -> Path:
    """Copy the report of an import to ``<folder>/<import id>``, readable by its owner only; returns where it is (R41).

    Raises:
        Removed: the report was removed (R42).
        UsageError: it is no longer there, or cannot be copied.
    """
    with store.engine.connect() as connection:
        demand_kept(connection, import_id, Kind.REPORT)
    kept = store.kept.fetched(store.report_dir(import_id))
    if not kept.is_dir():
        raise UsageError(
            f"The report of import {import_id} is no longer at {store.kept.shown(kept)}; run it without --to."
        )
    target = folder.expanduser().absolute() / import_id
    try:
        with replaced_folder(target) as aside:
            shutil.copytree(kept, aside, dirs_exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{error.filename or target} cannot be written ({error.strerror}); name another folder."
        ) from None
    return target
