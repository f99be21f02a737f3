"""Tables that several connections fill with the rows of one import before its plan is made (decision 0027).

They are committed, and hold the rows in clear: each goes when its plan is made, and what a killed process left goes before
the next plan of a large file, when its import ends, with the nightly retention, and before a contact is forgotten. They are
not logged, so that a server that crashed has none of their rows any more, and in no backup.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, MetaData, Select, String, Table, func, literal, select
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from engage_etl.errors import ImportBusy
from engage_etl.store.catalogue import namespaces, relations
from engage_etl.store.engine import Store
from engage_etl.store.imports import import_lock
from engage_etl.store.outages import LOCK_NOT_AVAILABLE, sqlstate
from engage_etl.store.tables import LOADING

AT_ONCE, PATIENTLY = "200ms", "5s"
"""How long a table that another program reads, as a backup by hand may, is waited for."""

_functions: Any = getattr(func, LOADING)
_log = logging.getLogger(__name__)


@contextmanager
def loading_table(store: Store, import_id: str, like: Table) -> Iterator[Table]:
    """An empty table with the columns of ``like`` for the rows of an import that has none and whose lock is held.

    It goes at the end; where it cannot, it is left for the next time.
    """
    with store.engine.begin() as connection:
        name: str = connection.execute(select(_functions.make_table(import_id))).scalar_one()
    try:
        yield like.to_metadata(MetaData(), schema=LOADING, name=name)
    finally:
        try:
            drop_loaded(store, import_id, PATIENTLY)
        except SQLAlchemyError as error:
            # What was done with the rows is done, or has an error of its own to tell.
            _log.warning("The loaded rows of import %s are removed the next time: %s", import_id, type(error).__name__)


def drop_loaded(store: Store, import_id: str, patience: str) -> bool:
    """Drop the table of an import whose lock is held, if it has one; False if another program reads it for too long."""
    return _try_to_drop(store, _functions.table_of(import_id), patience)


@dataclass(frozen=True)
class Abandoned:
    """Imports whose loaded rows a killed process has left. dropped: gone now; held: another program reads them just now."""

    dropped: list[str]
    held: list[str]


def drop_abandoned(store: Store, patience: str = AT_ONCE) -> Abandoned:
    """Drop the tables that killed processes have left; those of imports at work stay."""
    with store.engine.connect() as connection:
        found = {str(row.relname): str(row.import_id) for row in connection.execute(_tables_and_imports())}
    abandoned = Abandoned([], [])
    for name, import_id in found.items():
        with suppress(ImportBusy), import_lock(store.locks, import_id):
            is_gone = _try_to_drop(store, literal(name), patience)
            (abandoned.dropped if is_gone else abandoned.held).append(import_id)
    return abandoned


def _tables_and_imports() -> Select[Any]:
    """All tables, in use or not, with the import of each, which is its comment."""
    import_id = func.obj_description(relations.c.oid, "pg_class", type_=String)
    is_table = (relations.c.relkind == "r") & relations.c.relname.startswith("import_")
    return (
        select(relations.c.relname, import_id.label("import_id"))
        .join_from(relations, namespaces, namespaces.c.oid == relations.c.relnamespace)
        .where(namespaces.c.nspname == LOADING, is_table)
        .order_by(relations.c.relname)
    )


def _try_to_drop(store: Store, name: ColumnElement[str], patience: str) -> bool:
    try:
        with store.engine.begin() as connection:
            connection.execute(select(func.set_config("lock_timeout", patience, True)))
            connection.execute(select(_functions.drop_table(name)))
    except OperationalError as error:
        if sqlstate(error) != LOCK_NOT_AVAILABLE:
            raise
        return False
    return True
