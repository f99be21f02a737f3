"""Looks of the sensor at drop folders, and runs in every state."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster._core.utils import make_new_run_id

from engage_etl.store.engine import Store
from engage_etl.store.imports import Import, list_imports
from engage_etl.triggers.looking import look_once


@dataclass
class Sensor:
    """The sensor ``drop_folder``, tick by tick; the cursor goes from one to the next."""

    store: Store
    instance: dg.DagsterInstance
    cursor: str | None = None

    def tick(self, patience: float = 0) -> dg.SensorResult:
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor) as context:
            result = look_once(context, self.store, patience)
        self.cursor = result.cursor
        return result

    def take(self, file: Path, content: str = "user.Identifier\n1\n") -> Import:
        """Drop a file and look until it is registered."""
        before = {entry.import_id for entry in self.registered()}
        file.write_text(content)
        self.tick()
        [entry] = [entry for entry in self.registered() if entry.import_id not in before]
        return entry

    def registered(self) -> list[Import]:
        with self.store.engine.connect() as connection:
            return list_imports(connection)

    def entry(self, import_id: str) -> Import:
        [found] = [entry for entry in self.registered() if entry.import_id == import_id]
        return found

    def requested(self) -> list[str | None]:
        """The run keys that a look asks for."""
        return [request.run_key for request in self.tick().run_requests or []]


def add_run(
    instance: dg.DagsterInstance,
    status: dg.DagsterRunStatus,
    *,
    import_id: str | None = None,
    tags: dict[str, str] | None = None,
    job_name: str = "import_contacts",
) -> dg.DagsterRun:
    """A run as the launcher would have left it."""
    partition = {"dagster/partition": import_id} if import_id else {}
    run = dg.DagsterRun(job_name=job_name, run_id=make_new_run_id(), status=status, tags=partition | (tags or {}))
    return instance.add_run(run)
