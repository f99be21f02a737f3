"""Whole imports without Dagster: the four stages one after the other, on real files and the real store."""

from __future__ import annotations

import csv
import io
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from engage_etl.errors import FileError
from engage_etl.raw_file.arrival import register_arrival
from engage_etl.raw_file.stage import archive_raw_file
from engage_etl.stage_run import apply_and_finish, import_stage, plan_and_report
from engage_etl.store.contacts import find_contacts
from engage_etl.store.engine import Store
from engage_etl.store.groups import create_group
from engage_etl.store.imports import Import, find_import, register_import, update_import
from engage_etl.store.tables import contact, plan_row
from engage_etl.validated_rows.stage import validate_rows
from engage_etl.vocabulary.options import ImportOptions

GROUP = "Newsletter"
STAGES = (archive_raw_file, validate_rows, plan_and_report, apply_and_finish)
Row = tuple[int, str, str | None]


@dataclass(frozen=True)
class Importing:
    """Imports texts as files."""

    store: Store
    folder: Path

    @classmethod
    def prepare(cls, store: Store, folder: Path) -> Importing:
        folder.mkdir(parents=True)
        with store.engine.begin() as connection:
            create_group(connection, GROUP)
        return cls(store, folder)

    def register(
        self,
        content: str | bytes | Path,
        *,
        name: str = "contacts.csv",
        entry: str | None = None,
        started_by: str | None = None,
        **options: Any,
    ) -> str:
        """Write the content to a file and register it; matched on the identifier unless told otherwise."""
        if isinstance(content, Path):
            file = content
        else:
            file = self.folder / name
            file.write_bytes(content.encode() if isinstance(content, str) else content)
        given = ImportOptions(**{"group": GROUP, "use_external_identifier": True} | options)
        with self.store.engine.begin() as connection:
            import_id = register_import(connection, file, given, entry=entry)
            update_import(connection, import_id, started_by=started_by)
        return import_id

    def run(self, import_id: str, stages: tuple[Any, ...] = STAGES) -> Import:
        """Run stages, each with the import's lock, as the assets do."""
        for stage in stages:
            with import_stage(self.store, import_id):
                stage(self.store, import_id)
        return self.entry(import_id)

    def __call__(self, content: str | bytes | Path, *, name: str = "contacts.csv", **options: Any) -> Import:
        """Import a file to its end."""
        import_id = self.register(content, name=name, **options)
        self.run(import_id)
        return self.entry(import_id)

    def arrive(self, file: Path, **options: Any) -> list[Import]:
        """Import a file that may be an archive; a file error ends the import that has it."""
        given = ImportOptions(**{"group": GROUP, "use_external_identifier": True} | options)
        with self.store.engine.begin() as connection:
            ids = register_arrival(connection, self.store.settings, file, given)
        for import_id in ids:
            with suppress(FileError):
                self.run(import_id)
        return [self.entry(import_id) for import_id in ids]

    def plan(self, content: str | bytes | Path, *, name: str = "contacts.csv", **options: Any) -> Import:
        """Import a file up to its plan."""
        return self.run(self.register(content, name=name, **options), STAGES[:3])

    def seed(self, content: str) -> Import:
        """Fill the store, matched on the address in the first column (R3)."""
        entry = self(content, name="seed.csv", use_external_identifier=False)
        assert entry.rejected == entry.skipped == 0, self.rows(entry)
        return entry

    def entry(self, import_id: str) -> Import:
        """The import as the register knows it."""
        with self.store.engine.connect() as connection:
            return find_import(connection, import_id)

    def plan_rows(self, entry: Import) -> list[Any]:
        """The plan, row by row."""
        with self.store.engine.connect() as connection:
            query = select(plan_row).where(plan_row.c.import_id == entry.import_id).order_by(plan_row.c.row)
            return list(connection.execute(query))

    def rows(self, entry: Import) -> list[Row]:
        """Row number, outcome and reason of each row."""
        return [(row.row, row.outcome, row.reason) for row in self.plan_rows(entry)]

    def changes(self, entry: Import) -> dict[int, dict[str, list[Any]]]:
        """What each row changes."""
        return {row.row: row.changes or {} for row in self.plan_rows(entry)}

    def messages(self, entry: Import) -> dict[int, str]:
        """The sentence of each row that has one."""
        return {row.row: row.message for row in self.plan_rows(entry) if row.message is not None}

    def contacts(self, *, history: bool = False) -> list[dict[str, Any]]:
        """All contacts, by id, as objects of the public interface."""
        with self.store.engine.connect() as connection:
            return find_contacts(connection, contact.c.contact_id > 0, history=history)

    def column(self, *fields: str) -> list[tuple[Any, ...]]:
        """Some fields of all contacts, by id."""
        return [tuple(found[field] for field in fields) for found in self.contacts()]


def as_csv(*rows: tuple[str, ...], separator: str = ",") -> str:
    """A CSV text of some rows, the first of them the header."""
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator="\n").writerows(rows)
    return text.getvalue()
