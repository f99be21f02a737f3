"""The JSON Schema of ``automations.yaml``: what the check goes by, what editors complete, what docs/ publishes.

The check sees every scalar as a text; an editor sees ``true`` as a truth value and ``100`` as a number. The schema takes
both where that makes no difference. It does not take a truth value for the additional parameter (R2), so that editors
ask for the quotes with which ``True`` and ``true`` stay apart.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, get_args

from pydantic.fields import FieldInfo

from engage_etl.vocabulary.choices import DETECT
from engage_etl.vocabulary.options import ImportOptions

ON_ARRIVAL = "on-arrival"
IMPORT_CONTACTS = "import-contacts"
USE_IDENTIFIER = "source-use-customeridentifier"
"""The additional parameter that turns on matching on the external identifier (R2)."""
PARAMETERS = "additional-parameters"
DETECTED = ("file-type", "separator", "character-set")
"""Options that ``detect`` stands for too."""
EXPECTED = "errorMessage"
"""Keyword under which the schema says what a value must be; editors show it, the check too."""

_CRON = r"^\s*(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|\S+(\s+\S+){4})\s*$"
_TEXT = ["string", "number", "boolean"]


def option_keys() -> dict[str, FieldInfo]:
    """The options of an import by their key in the file; the use of the identifier is an additional parameter there."""
    fields = ImportOptions.model_fields.items()
    return {name.replace("_", "-"): one for name, one in fields if name not in ("group", "use_external_identifier")}


def automations_schema() -> dict[str, Any]:
    """The schema of the whole file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "automations.yaml of Engage ETL",
        "description": "What applies to the files of each source. Made from the code by `make docs`.",
        "type": ["object", "null"],
        "required": ["automations"],
        "properties": {"automations": {"type": ["array", "null"], "items": automation_schema()}},
    }


def automation_schema() -> dict[str, Any]:
    """The schema of one automation."""
    return {
        "type": "object",
        "required": ["name", "group", "source"],
        "additionalProperties": False,
        "properties": _own_keys() | {key: _option(key, field) for key, field in option_keys().items()},
    }


def _own_keys() -> dict[str, Any]:
    return {
        "name": _text(
            "What the automation is called; a schedule has this name, with _ for -.",
            minLength=1,
            pattern="^[a-z0-9-]+$",
            **{EXPECTED: "expected small letters, digits and hyphens"},
        ),
        "job": {
            "enum": [IMPORT_CONTACTS],
            "default": IMPORT_CONTACTS,
            "description": "What is done with the files.",
        },
        "group": _text(ImportOptions.model_fields["group"].description or "", minLength=1),
        "source": _text(
            "Where the files arrive: a folder, relative to the data folder, s3://bucket/prefix or "
            "sftp://user@host:port/path.",
            minLength=1,
            examples=["drop/nightly-crm", "s3://bucket/prefix", "sftp://user@host/path"],
        ),
        "pattern": _text("Names of the files that are meant, as in *.csv.", default="*"),
        "schedule": {
            "anyOf": [{"const": ON_ARRIVAL}, {"type": "string", "pattern": _CRON}],
            "default": ON_ARRIVAL,
            "examples": [ON_ARRIVAL, "0 2 * * *"],
            "description": "When files are imported: as soon as they arrive, or at the times of a cron line.",
            EXPECTED: f"expected '{ON_ARRIVAL}' or a cron line like '0 2 * * *'",
        },
        "time-zone": _text(
            "Time zone of the cron line, a name of the IANA time zone database.",
            minLength=1,
            default="UTC",
            examples=["UTC", "Europe/Berlin"],
        ),
        "active": _switch("Whether files are taken.", default="true"),
        PARAMETERS: {
            "type": "object",
            "additionalProperties": False,
            "description": "Parameters of the marketing system; names and values are case-sensitive (R2).",
            "properties": {
                USE_IDENTIFIER: {
                    "enum": ["true", "false"],
                    "default": "false",
                    "description": ImportOptions.model_fields["use_external_identifier"].description,
                }
            },
        },
    }


def _option(key: str, field: FieldInfo) -> dict[str, Any]:
    """The schema of an option, from its field."""
    meaning = field.description or ""
    kinds = [kind for kind in (get_args(field.annotation) or (field.annotation,)) if kind is not type(None)]
    choices = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, StrEnum)), None)
    detect = [DETECT] if key in DETECTED else []
    default = {"default": str(field.default)} if isinstance(field.default, str) else {}
    if field.annotation is bool:
        return _switch(meaning, default=str(field.default).lower())
    if choices is not None:
        return {"enum": [choice.value for choice in choices] + detect, "description": meaning, **default}
    if field.annotation == tuple[str, ...]:
        one = {"type": "string"}
        return {"anyOf": [one, {"type": "array", "items": one}], "description": meaning, EXPECTED: "expected texts"}
    return _text(meaning, **default, **({"examples": detect} if detect else {}))


def _text(description: str, **more: Any) -> dict[str, Any]:
    return {"type": _TEXT, "description": description, **more}


def _switch(description: str, default: str) -> dict[str, Any]:
    return {"enum": ["true", "false", True, False], "default": default == "true", "description": description}
