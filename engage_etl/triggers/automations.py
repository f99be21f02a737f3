"""``automations.yaml``: what applies to the files of a source, and when they are imported (R2).

Every scalar is read as text, so that ``True`` and ``true`` stay apart. An automation that is wrong is reported with
file, line, key and the nearest right spelling; the others go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engage_etl.errors import AutomationError, UsageError
from engage_etl.settings import Settings
from engage_etl.triggers.automation_checks import (
    UTC,
    nearest,
    read_options,
    read_source,
    schedule_errors,
    schema_errors,
    sound_part,
)
from engage_etl.triggers.automation_nodes import Entry, read_entries
from engage_etl.triggers.automation_schema import ON_ARRIVAL, USE_IDENTIFIER
from engage_etl.vocabulary.locations import Location
from engage_etl.vocabulary.options import ImportOptions

__all__ = ["ON_ARRIVAL", "USE_IDENTIFIER", "Automation", "find_automation", "load_automations"]


@dataclass(frozen=True)
class Automation:
    """One automation that is right.

    name: of ``[a-z0-9-]+``; source: folder, absolute, or elsewhere; pattern: of file names; is_active: whether files are taken;
    options: of its imports; cron: when, None for as soon as they arrive; time_zone: of the cron line.
    """

    name: str
    source: Location
    pattern: str
    is_active: bool
    options: ImportOptions
    cron: str | None = None
    time_zone: str = UTC

    @property
    def is_scheduled(self) -> bool:
        """Whether files wait for a time instead of being imported when they arrive."""
        return self.cron is not None

    @property
    def schedule(self) -> str:
        """When files are imported, as the file says it."""
        return self.cron or ON_ARRIVAL

    @property
    def schedule_name(self) -> str:
        """The name of its Dagster schedule; Dagster refuses hyphens."""
        return self.name.replace("-", "_")


def load_automations(path: Path, data_folder: Path) -> tuple[list[Automation], list[AutomationError]]:
    """Read the automations; a missing file has none.

    data_folder: what relative sources are relative to.

    Returns:
        The automations that are right, and every error of those that are not, in the order of the file.
    """
    try:
        entries, wrong = read_entries(path)
    except AutomationError as error:
        return [], [error]
    right: list[Automation] = []
    for entry in entries:
        automation, errors = _read(entry, data_folder, right)
        wrong += errors
        if automation is not None:
            right.append(automation)
    return right, sorted(wrong, key=lambda error: error.line)


def find_automation(settings: Settings, name: str) -> Automation:
    """The automation of that name.

    Raises:
        UsageError: there is none that is right; what is wrong in the file is told too.
    """
    automations, errors = load_automations(settings.automations_file, settings.root)
    by_name = {automation.name: automation for automation in automations}
    if name in by_name:
        return by_name[name]
    close = nearest(name, by_name)
    hint = f" Did you mean {close!r}?" if close else ""
    wrong = "".join(f"\nLeft out: {error}" for error in errors)
    raise UsageError(f"There is no automation {name!r} in {settings.automations_file}.{hint}{wrong}")


def _read(entry: Entry, data_folder: Path, others: list[Automation]) -> tuple[Automation | None, list[AutomationError]]:
    """An automation, or everything that can be told about what is wrong with it. others: that are right."""
    errors = schema_errors(entry)
    sound = sound_part(entry) if errors else entry
    options, unfit = read_options(sound)
    source, nowhere = read_source(sound, data_folder)
    errors += [*unfit, *nowhere, *schedule_errors(sound), *_taken(sound, source, others)]
    if options is None or source is None or errors:
        return None, sorted(errors, key=lambda error: error.line)
    return _automation(entry, options, source), []


def _automation(entry: Entry, options: ImportOptions, source: Location) -> Automation:
    given = entry.values
    schedule = given.get("schedule", ON_ARRIVAL)
    return Automation(
        name=given["name"],
        source=source,
        pattern=given.get("pattern", "*"),
        is_active=given.get("active", "true") == "true",
        options=options,
        cron=None if schedule == ON_ARRIVAL else schedule.strip(),
        time_zone=given.get("time-zone", UTC),
    )


def _taken(entry: Entry, source: Location | None, others: list[Automation]) -> list[AutomationError]:
    """Two automations may share neither their name nor their source: a file has one owner."""
    name = entry.values.get("name")
    for other in others:
        if other.name == name:
            return [entry.error(f"there is another automation named {other.name!r}.", ("name",))]
        if source is not None and other.source.resolve() == source.resolve():
            problem = f"the automation {other.name!r} has the same source; give each a folder of its own."
            return [entry.error(problem, ("source",))]
    return []
