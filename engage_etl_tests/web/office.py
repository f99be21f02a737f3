"""An installation at work: contacts, a drop folder that is applied at once and one that waits, and ``engage-etl up``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engage_etl.settings import Settings
from engage_etl.store.engine import open_store
from engage_etl.store.imports import Import, list_imports
from engage_etl_tests.importing import Importing
from engage_etl_tests.scenarios.service import Service, drop, running
from engage_etl_tests.waiting import wait_for

SAMPLES = Path(__file__).parents[2] / "data" / "samples"
NIGHTLY, REVIEWED = "nightly-crm", "reviewed-crm"
AUTOMATIONS = f"""
automations:
  - name: {NIGHTLY}
    group: Newsletter
    source: drop/{NIGHTLY}
    additional-parameters:
      source-use-customeridentifier: "true"
  - name: {REVIEWED}
    group: Newsletter
    source: drop/{REVIEWED}
    approval: required
    additional-parameters:
      source-use-customeridentifier: "true"
"""


@dataclass(frozen=True)
class Office:
    """The running installation."""

    importing: Importing
    service: Service

    def drop(self, content: str | bytes, name: str, automation: str = NIGHTLY) -> None:
        """Drop a file for an automation."""
        drop(content, self.service.settings.drop_dir / automation / name)

    def import_of(self, name: str) -> Import | None:
        """The import of a file, if it was found already."""
        with self.importing.store.engine.connect() as connection:
            return next((entry for entry in list_imports(connection) if entry.file == name), None)

    def ended(self, name: str) -> Import:
        """The import of a dropped file, whose run has ended: there is nothing to be seen of it before."""
        wait_for(f"the run of {name}", lambda: set(self.service.runs().get(name, ())) & {"SUCCESS", "FAILURE"})
        entry = self.import_of(name)
        assert entry is not None
        return entry


@contextmanager
def opened(settings: Settings, folder: Path) -> Iterator[Office]:
    """Start it over the contacts of the samples, and end it."""
    with open_store(settings) as store:
        importing = Importing.prepare(store, folder / "files")
        importing(SAMPLES / "contacts.csv", use_external_identifier=False)
        settings.automations_file.parent.mkdir(parents=True, exist_ok=True)
        settings.automations_file.write_text(AUTOMATIONS)
        for automation in (NIGHTLY, REVIEWED):
            (settings.drop_dir / automation).mkdir(parents=True)
        with running(settings, folder / "up.log") as service:
            yield Office(importing, service)
