"""Looks at one source elsewhere, with a clock that the test moves."""

from __future__ import annotations

from pathlib import Path

from engage_etl.sources.opening import Sources
from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, find_import, list_imports, update_import
from engage_etl.triggers.arrivals import Look, take_arrivals
from engage_etl.triggers.automations import Automation
from engage_etl.vocabulary.locations import RemoteLocation, source_location
from engage_etl.vocabulary.options import ImportOptions

OPTIONS = ImportOptions(group="Newsletter", use_external_identifier=True)


class Drops:
    """One automation with a source elsewhere."""

    def __init__(self, store: Store, url: str, pattern: str = "*") -> None:
        self.store = store
        source = source_location(url, Path())
        assert isinstance(source, RemoteLocation)
        self.source = source
        self.automation = Automation("crm", source, pattern, True, OPTIONS)
        self.seen: Look = {}
        self.now = 1_000_000.0
        self.complaints: list[str] = []

    def look(self, after: float = 10.0) -> list[str]:
        """Look once, some seconds later; the ids of the imports taken."""
        self.now += after
        self.complaints = []
        taken, self.seen = take_arrivals(self.store, [self.automation], self.seen, self.now, self.complaints.append)
        return taken

    def take(self) -> list[Import]:
        """Look twice, so that what is whole is taken."""
        return [self.entry(import_id) for import_id in [*self.look(), *self.look()]]

    def entry(self, import_id: str) -> Import:
        with self.store.engine.connect() as connection:
            return find_import(connection, import_id)

    def registered(self) -> list[Import]:
        with self.store.engine.connect() as connection:
            return list_imports(connection)

    def end(self, entry: Import, status: str) -> None:
        with self.store.engine.begin() as connection:
            update_import(connection, entry.import_id, status=status)

    def begun(self, name: str) -> Import:
        """A claim of which only the row in the register was written."""
        from engage_etl.raw_file.arrival import register_arrival

        place = self.source / name
        with Sources(self.store.settings) as sources, self.store.engine.begin() as connection:
            files = sources.at(place)
            state = files.find(place)
            [import_id] = register_arrival(
                connection, self.store.settings, place, OPTIONS, automation="crm", storage=files, state=state
            )
        return self.entry(import_id)
