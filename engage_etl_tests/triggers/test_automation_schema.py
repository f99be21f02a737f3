"""The JSON Schema of automations.yaml and the check of the program agree, as the check goes by the schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer.main
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from engage_etl.cli.main import app
from engage_etl.triggers.automation_checks import schema_errors
from engage_etl.triggers.automation_nodes import read_entries
from engage_etl.triggers.automation_schema import automations_schema, option_keys
from engage_etl.triggers.automations import load_automations
from engage_etl.vocabulary.options import ImportOptions

ROOT = Path(__file__).parents[2]
NEEDED = "automations:\n  - name: crm\n    group: Newsletter\n    source: drop/crm\n"
FULL = (
    NEEDED
    + """\
    job: import-contacts
    pattern: "*.csv"
    schedule: "0 2 * * *"
    time-zone: Europe/Berlin
    active: true
    import-mode: replace
    file-type: detect
    separator: ";"
    character-set: ISO-8859-15
    update-rule: [always, first_name=if-stored-blank]
    duplicates: reject
    link-unidentified: false
    identifier-pattern: alphanumeric
    mangled-identifiers: accept
    invalid-values: drop
    ignore-unsubscribed: "true"
    max-rejected: 100
    additional-parameters:
      source-use-customeridentifier: "true"
"""
)
GOOD = ["", "automations:\n", "automations: []\n", NEEDED, FULL, NEEDED.replace("Newsletter", "007")]
BAD = [
    "automations: text\n",
    "automation: []\n",
    "automations:\n  - just text\n",
    "automations:\n  - name: crm\n",
    NEEDED.replace("crm\n", "C R M\n", 1),
    NEEDED.replace("Newsletter", '""'),
    NEEDED + "    patern: x\n",
    NEEDED + "    pattern: [a, b]\n",
    NEEDED + "    active: maybe\n",
    NEEDED + "    import-mode: Replace\n",
    NEEDED + "    schedule: hourly\n",
    NEEDED + "    update-rule: {a: b}\n",
    NEEDED + "    source-use-customeridentifier: 'true'\n",
    NEEDED + "    additional-parameters: text\n",
    NEEDED + "    additional-parameters:\n      source-use-customeridentifier: 'True'\n",
    NEEDED + "    additional-parameters:\n      Source-Use-CustomerIdentifier: 'true'\n",
]


def fits(document: Any) -> bool:
    return bool(Draft202012Validator(automations_schema()).is_valid(document))


def as_editors_see_it(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def is_right(folder: Path, text: str) -> bool:
    path = folder / "automations.yaml"
    path.write_text(text)
    return load_automations(path, folder)[1] == []


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(automations_schema())


@pytest.mark.parametrize("text", GOOD)
def test_what_the_check_takes_editors_take(tmp_path: Path, text: str) -> None:
    assert (is_right(tmp_path, text), fits(as_editors_see_it(text))) == (True, True)


@pytest.mark.parametrize("text", BAD)
def test_what_editors_mark_the_check_refuses(tmp_path: Path, text: str) -> None:
    assert (is_right(tmp_path, text), fits(as_editors_see_it(text))) == (False, False)


@pytest.mark.parametrize("text", [text for text in [*GOOD, *BAD] if text.startswith(NEEDED[:20])])
def test_the_check_goes_by_the_schema(tmp_path: Path, text: str) -> None:
    """Of a file whose scalars are texts, both say the same of each automation."""
    path = tmp_path / "automations.yaml"
    path.write_text(text)
    for entry in read_entries(path)[0]:
        assert fits({"automations": [entry.values]}) == (schema_errors(entry) == [])


def test_r2_editors_ask_for_quotes_around_the_parameter() -> None:
    parameter = "    additional-parameters:\n      source-use-customeridentifier: {}\n"
    assert fits(as_editors_see_it(NEEDED + parameter.format('"true"')))
    assert not fits(as_editors_see_it(NEEDED + parameter.format("True")))
    assert not fits(as_editors_see_it(NEEDED + parameter.format("true")))


def test_every_option_of_an_import_has_a_key_with_its_meaning() -> None:
    properties = automations_schema()["properties"]["automations"]["items"]["properties"]
    for name, field in ImportOptions.model_fields.items():
        if name != "use_external_identifier":
            assert properties[name.replace("_", "-")]["description"] == field.description
    assert [key for key, one in properties.items() if not one.get("description")] == []
    assert set(option_keys()) < set(properties)


def test_every_option_of_the_command_has_a_twin() -> None:
    command: Any = typer.main.get_command(app)
    options = {name[2:] for one in command.commands["import"].params for name in one.opts if name.startswith("--")}
    twins = set(automations_schema()["properties"]["automations"]["items"]["properties"])
    assert {"import-mode", "use-external-identifier"} < options
    assert options - twins == {"use-external-identifier", "amends", "by", "strict", "json"}


def test_the_example_of_the_documentation_is_right(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "automations.md").read_text(encoding="utf-8")
    examples = [block.partition("```")[0] for block in page.split("```yaml\n")[1:]]
    assert len(examples) >= 2
    for example in examples:
        assert (is_right(tmp_path, example), fits(as_editors_see_it(example))) == (True, True), example
