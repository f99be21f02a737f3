"""Writes the pages of docs/ that are made from the code: `make docs`. A test asserts that they are current."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from command_reference import command_sections

from engage_etl.settings import Settings
from engage_etl.store.tuning import ADVICE, GIB, SESSION, Advice, Bound
from engage_etl.triggers.automation_schema import EXPECTED, PARAMETERS, automation_schema, automations_schema
from engage_etl.validated_rows.value_rules import CUSTOM_EXPECTED
from engage_etl.vocabulary.attributes import ATTRIBUTES, LONGEST_CUSTOM_NAME, Attribute, CustomType

HERE = Path(__file__).parent
_NOTE = "<!-- Made from the code by `make docs`; do not edit. -->"


def pages() -> dict[Path, str]:
    """The generated pages by their path."""
    return {
        HERE / "attributes.md": attributes_page(),
        HERE / "automation-keys.md": automation_keys_page(),
        HERE / "automations.schema.json": json.dumps(automations_schema(), indent=2, ensure_ascii=False) + "\n",
        HERE / "commands.md": commands_page(),
        HERE / "decisions" / "index.md": decisions_page(),
        HERE / "server-settings.md": server_settings_page(),
        HERE / "settings.md": settings_page(),
    }


def attributes_page() -> str:
    """The attribute catalogue: names in CSV, XML and JSON, and what a value must be (R16, R17)."""
    rows = (
        (
            f"`{entry.header}`",
            f"`{entry.element}`",
            f"`{entry.field}`",
            entry.expected,
            f"`{entry.example}`",
            _marks(entry),
        )
        for entry in ATTRIBUTES
    )
    table = _table(("CSV header", "XML element", "JSON field", "a value is", "example", ""), rows)
    return _page(
        "Attributes",
        "Standard attributes of a contact. CSV headers compare regardless of case, XML elements exactly. A value that "
        "does not fit rejects its row. An *address* identifies a contact and is unique among all contacts; *personal* "
        "values are masked in logs and on the web page.",
        table,
        "## Custom attributes",
        "Any other attribute is a custom one: `user.CustomAttribute.colour` in CSV, or `user.CustomAttribute['Favourite "
        'colour\']` where the name has spaces or special characters; `<namedattr name="colour">` in XML. Names compare '
        f"regardless of case and have up to {LONGEST_CUSTOM_NAME} characters. One that does not exist yet is created "
        "when the import is applied. In JSON they stand in `custom`, in changes as `custom.<name>`.",
        "A CSV file cannot say the type of a new one: it is a string. An XML file can, before its first user: "
        '`<namedattr-definition name="size" type="number"/>`; with `enum="true"` the texts of its elements are the values '
        "that are allowed, compared exactly. The type of an attribute that exists already stays.",
        _table(("type", "a value is"), ((f"`{kind}`", CUSTOM_EXPECTED[kind]) for kind in CustomType)),
        "Attributes of a membership are texts: `member.shop` or `member['Card number']` in CSV, "
        '`<memberattr name="shop">` in XML.',
        "## How values are stored and compared",
        "Texts, addresses and identifiers are stored exactly as given, and a value counts as changed if one character "
        "differs. Titles, dates, numbers and booleans are compared by value: `1984-02-29` and `1984-02-29T00:00:00Z` are the "
        "same moment, a date and time without offset means UTC. Country codes are stored in upper, language codes in lower "
        "case. To find out whose an address is, e-mail addresses compare regardless of case, and mobile numbers without a "
        "leading `+`; identifiers always compare exactly.",
    )


def commands_page() -> str:
    """All commands with their arguments and options."""
    parts: list[str] = []
    for typed, does, parameters in command_sections():
        parts += [f"## `{typed}`", does, *([_table(("argument or option", ""), parameters)] if parameters else [])]
    return _page(
        "Commands", "What `--help` says, on one page. `--json` prints one JSON document and nothing else.", *parts
    )


def decisions_page() -> str:
    """The decision records by number, with their titles."""
    records = sorted(path for path in (HERE / "decisions").glob("[0-9]*.md") if not path.name.startswith("0000"))
    lines = (f"- [{_title(record)}]({record.name})" for record in records)
    return _page("Decisions", "What others may wonder about, why it is so, and what was measured.", "\n".join(lines))


def _title(page: Path) -> str:
    return page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


def automation_keys_page() -> str:
    """The keys of an automation with their values, defaults and meanings."""
    schema = automation_schema()
    keys = dict(schema["properties"])
    parameters = keys.pop(PARAMETERS)
    required = schema["required"]
    header = ("key", "values", "default", "meaning")
    return _page(
        "Keys of an automation",
        "What stands under each `- name:` of [automations.yaml](automations.md). Every value is read as text: "
        "`true` is not `True`, `007` is not `7`.",
        _table(header, (_key_row(key, one, is_needed=key in required) for key, one in keys.items())),
        f"## `{PARAMETERS}`",
        f"{parameters['description']} Write the value in quotes, so that editors do not take it for a truth value.",
        _table(header, (_key_row(key, one) for key, one in parameters["properties"].items())),
    )


def _key_row(key: str, schema: dict[str, Any], *, is_needed: bool = False) -> tuple[str, str, str, str]:
    words = [f"`{word}`" for word in schema.get("enum", ()) if isinstance(word, str)]
    values = ", ".join(words) or schema.get(EXPECTED, "text").removeprefix("expected ")
    default = schema.get("default", "")
    default = str(default).lower() if isinstance(default, bool) else default
    return f"`{key}`", values, "**needed**" if is_needed else default and f"`{default}`", schema["description"]


def settings_page() -> str:
    """The settings with their variables, defaults and meanings."""
    rows = (
        (f"`ENGAGE_{name.upper()}`", f"`{field.default}`" if field.default is not None else "", field.description or "")
        for name, field in Settings.model_fields.items()
    )
    return _page(
        "Settings",
        "Environment variables of an installation; each has a default that works.",
        _table(("variable", "default", "meaning"), rows),
    )


def server_settings_page() -> str:
    """How a PostgreSQL server should be set, by the memory of its machine, and why."""
    sizes = (4, 16, 64)
    external = (advice for advice in ADVICE if advice.is_for_all)
    embedded = (advice for advice in ADVICE if not advice.is_for_all)
    header = ("setting", *(f"{size} GB of memory" for size in sizes), "reason")
    return _page(
        "Settings of the PostgreSQL server",
        "Imports work on a server that is set otherwise, slower. `engage-etl db status` says where a running server "
        "differs, with `--server-memory 16GB` for a server whose machine has that much; more than *at least* and less "
        "than *at most* is fine. The embedded server has all of this by itself.",
        _table(header, ((f"`{advice.name}`", *_wanted(advice, sizes), advice.why) for advice in external)),
        "## What every session sets for itself",
        "On any server, so that nothing need be done for it. `?options=-c%20work_mem%3D256MB` in "
        "`ENGAGE_DATABASE_URL` changes one.",
        _table(("setting", "value", "reason"), ((f"`{one.name}`", f"`{one.wanted(0)}`", one.why) for one in SESSION)),
        "## What concerns the embedded server alone",
        _table(
            ("setting", "value", "reason"),
            ((f"`{advice.name}`", f"`{advice.wanted(0)}`", advice.why) for advice in embedded),
        ),
    )


def _wanted(advice: Advice, sizes: tuple[int, ...]) -> tuple[str, ...]:
    """The value for machines with so many gigabytes."""
    word = "" if advice.bound is Bound.EXACTLY else f"{advice.bound} "
    return tuple(f"{word}`{advice.wanted(size * GIB)}`" for size in sizes)


def _marks(attribute: Attribute) -> str:
    marks = {"address": attribute.is_address, "personal": attribute.personal}
    return ", ".join(mark for mark, holds in marks.items() if holds)


def _page(title: str, *parts: str) -> str:
    return "\n\n".join((f"# {title}", _NOTE, *parts)) + "\n"


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
