"""What is wrong with an automation, each thing in a sentence with its line, its key and the nearest right spelling."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError as SchemaError
from pydantic import ValidationError

from engage_etl.errors import AutomationError
from engage_etl.triggers.automation_nodes import Entry, KeyPath
from engage_etl.triggers.automation_schema import (
    DETECTED,
    EXPECTED,
    ON_ARRIVAL,
    PARAMETERS,
    USE_IDENTIFIER,
    automation_schema,
    option_keys,
)
from engage_etl.triggers.cron import cron_problem
from engage_etl.vocabulary.choices import DETECT
from engage_etl.vocabulary.locations import Location, source_location
from engage_etl.vocabulary.options import ImportOptions

UTC = "UTC"
_MISPLACED = ("use-external-identifier", USE_IDENTIFIER)
"""Keys under which people look for what is an additional parameter (R2)."""
_OWN_FOLDERS = ("dagster", "done", "failed", "imports", "log", "postgres", "reports")
TAKEN_NAMES = ("drop_folder", "housekeeping", "late_files", "marts", "notifications", "retention")
"""Names of our own sensors and schedules, which an automation with a schedule cannot have."""
_FIRST = ("required", "minLength")
"""What is told of several things that are wrong with one value."""


def schema_errors(entry: Entry) -> list[AutomationError]:
    """What the schema says, and keys that stand twice; in the order of the file."""
    doubled = [
        entry.error(f"the key {path[-1]!r} stands twice; leave one.", path, line=line) for path, line in entry.doubled
    ]
    first: dict[tuple[int, str | None], AutomationError] = {}
    found = sorted(_validator().iter_errors(entry.values), key=lambda error: error.validator not in _FIRST)
    for problem in found:
        for error in _sentences(entry, problem):
            first.setdefault((error.line, error.key), error)
    return sorted([*doubled, *first.values()], key=lambda error: error.line)


def sound_part(entry: Entry) -> Entry:
    """What of an automation fits the schema, so that more can be told about one that does not as a whole."""
    known = set(automation_schema()["properties"])
    wrong = {
        str(problem.absolute_path[0]) for problem in _validator().iter_errors(entry.values) if problem.absolute_path
    }
    return entry.without(wrong | (entry.values.keys() - known))


def read_options(entry: Entry) -> tuple[ImportOptions | None, list[AutomationError]]:
    """The options of an automation that fits the schema, or what is wrong with them.

    Of one that lacks its group, only what is wrong with single options is told: how they go together is not known.
    """
    parameters = entry.values.get(PARAMETERS, {})
    given: dict[str, Any] = {
        "group": entry.values.get("group"),
        "use_external_identifier": parameters.get(USE_IDENTIFIER) == "true",
    }
    for key in option_keys():
        value = entry.values.get(key)
        if value is not None and not (key in DETECTED and value == DETECT):
            given[key.replace("-", "_")] = value
    try:
        return ImportOptions.model_validate(given), []
    except ValidationError as error:
        told = [problem for problem in error.errors() if problem["loc"] != ("group",) or given["group"] is not None]
        return None, [_option_error(entry, problem) for problem in told]


def read_source(entry: Entry, data_folder: Path) -> tuple[Location | None, list[AutomationError]]:
    """The source of an automation that fits the schema, or what is wrong with it, without what may be a password."""
    if "source" not in entry.values:
        return None, []
    try:
        source = source_location(entry.values["source"], data_folder)
    except ValueError as error:
        return None, [entry.error(f"the source does not fit: {error}.", ("source",))]
    if isinstance(source, Path) and _is_of_the_installation(source.resolve(), data_folder.resolve()):
        sentence = (
            f"the source {entry.values['source']!r} holds files of the program itself; expected one like 'drop/crm'."
        )
        return None, [entry.error(sentence, ("source",))]
    return source, []


def _is_of_the_installation(source: Path, data_folder: Path) -> bool:
    """Whether a folder is, holds, or lies in what the program keeps: it would take its own files for arrivals."""
    if data_folder.is_relative_to(source):
        return True
    return any(source.is_relative_to(data_folder / name) for name in _OWN_FOLDERS)


def schedule_errors(entry: Entry) -> list[AutomationError]:
    """What is wrong with cron line and time zone, and with the name, if there is one, of an automation with a schedule."""
    schedule, zone = entry.values.get("schedule", ON_ARRIVAL), entry.values.get("time-zone", UTC)
    errors: list[AutomationError] = []
    if not _is_time_zone(zone):
        problem = f"there is no time zone {zone!r}; expected a name like 'Europe/Berlin'."
        errors.append(entry.error(problem, ("time-zone",), nearest=nearest(zone, available_timezones())))
    if schedule == ON_ARRIVAL:
        return errors
    if (wrong := cron_problem(schedule)) is not None:
        errors.append(entry.error(f"schedule has the value {schedule!r}: {wrong}.", ("schedule",)))
    name = entry.values.get("name", "")
    if _is_taken(name.replace("-", "_")):
        errors.append(entry.error(f"an automation with a schedule cannot be called {name!r}.", ("name",)))
    return errors


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is closest, regardless of case."""
    by_small = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), by_small, n=1, cutoff=0.5)
    return by_small[found[0]] if found else None


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(automation_schema())


def _sentences(entry: Entry, problem: SchemaError) -> Iterator[AutomationError]:
    path: KeyPath = tuple(problem.absolute_path)
    if problem.validator == "required":
        for key in problem.validator_value:
            if key not in problem.instance:
                yield entry.error(f"the key {key!r} is missing or blank.", (key,))
    elif problem.validator == "minLength":
        yield entry.error(f"the key {path[-1]!r} is missing or blank.", path)
    elif problem.validator == "additionalProperties":
        yield from _unknown_keys(entry, problem, path)
    elif problem.validator == "enum" and isinstance(problem.instance, str):
        yield _no_choice(entry, problem, path)
    elif EXPECTED in problem.schema:
        yield entry.error(f"{path[-1]} has the value {problem.instance!r}; {problem.schema[EXPECTED]}.", path)
    elif isinstance(problem.instance, list):
        yield entry.error(f"the key {path[0]!r} has a list; expected a single value.", path)
    else:
        yield entry.error(f"the key {path[0]!r} does not take such a value.", path)


def _unknown_keys(entry: Entry, problem: SchemaError, path: KeyPath) -> Iterator[AutomationError]:
    known = problem.schema["properties"]
    for key in problem.instance:
        if key not in known:
            sentence = (
                f"there is no additional parameter {key!r}; it is case-sensitive."
                if path
                else f"there is no key {key!r}."
            )
            if key in _MISPLACED and not path:
                right = f'{PARAMETERS}: {{{USE_IDENTIFIER}: "true"}}'
                yield entry.error(f"there is no key {key!r}; write `{right}`.", (key,))
            else:
                yield entry.error(sentence, (*path, key), nearest=nearest(key, known))


def _no_choice(entry: Entry, problem: SchemaError, path: KeyPath) -> AutomationError:
    allowed = [word for word in problem.validator_value if isinstance(word, str)]
    words = " or ".join(repr(word) for word in allowed)
    letters = ", in small letters" if path[-1] == USE_IDENTIFIER else ""
    sentence = f"{path[-1]} has the value {problem.instance!r}; expected {words}{letters}."
    return entry.error(sentence, path, nearest=nearest(problem.instance, allowed))


def _option_error(entry: Entry, problem: Any) -> AutomationError:
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return entry.error(f"{message}.")
    key = str(problem["loc"][0]).replace("_", "-")
    value = problem["input"]
    return entry.error(f"{key} has the value {value!r}: {message}.", (key,))


def _is_time_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # the last for what is a folder in the database: Europe
        return False
    return True


def _is_taken(name: str) -> bool:
    # Dagster's own list of words that nothing may be called; loaded where an automation has a schedule only.
    from dagster._core.definitions.utils import DISALLOWED_NAMES

    return name in TAKEN_NAMES or name in DISALLOWED_NAMES
