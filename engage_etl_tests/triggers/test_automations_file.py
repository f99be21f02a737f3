"""R2: what is wrong in ``automations.yaml`` is named with file, line, key and the nearest spelling; the rest goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from engage_etl.errors import AutomationError
from engage_etl.triggers.automation_schema import option_keys
from engage_etl.triggers.automations import USE_IDENTIFIER, Automation, load_automations
from engage_etl.vocabulary.choices import Duplicates
from engage_etl.vocabulary.options import ImportOptions

GOOD = """\
automations:
  - name: nightly-crm
    group: Newsletter
    source: drop/nightly-crm
"""


def load(folder: Path, text: str | bytes) -> tuple[list[Automation], list[AutomationError]]:
    path = folder / "automations.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_automations(path, folder)


def error_of(folder: Path, text: str) -> AutomationError:
    right, wrong = load(folder, text)
    assert right == []
    [error] = wrong
    assert error.file == "automations.yaml"
    assert str(error).startswith(f"automations.yaml, line {error.line}: ")
    return error


def with_parameter(line: str) -> str:
    return f"{GOOD}    additional-parameters:\n      {line}\n"


def test_an_automation_with_defaults(tmp_path: Path) -> None:
    [automation], wrong = load(tmp_path, GOOD)
    assert wrong == []
    assert (automation.name, automation.source) == ("nightly-crm", tmp_path / "drop" / "nightly-crm")
    assert (automation.pattern, automation.is_active) == ("*", True)
    assert (automation.options.group, automation.options.use_external_identifier) == ("Newsletter", False)


def test_every_option_of_the_command_line(tmp_path: Path) -> None:
    text = (
        GOOD.replace("drop/nightly-crm", "/srv/crm")
        + """\
    job: import-contacts
    schedule: on-arrival
    pattern: "*.csv"
    active: false
    import-mode: add-and-update
    file-type: csv
    separator: tab
    character-set: ISO-8859-15
    duplicates: reject
    identifier-pattern: alphanumeric
    mangled-identifiers: accept
    max-rejected: 5%
"""
    )
    [automation], wrong = load(tmp_path, text)
    assert wrong == []
    assert (automation.source, automation.pattern, automation.is_active) == (Path("/srv/crm"), "*.csv", False)
    options = automation.options
    assert (options.separator, options.character_set, options.max_rejected) == ("\t", "ISO-8859-15", "5%")
    assert options.duplicates is Duplicates.REJECT


VALUES = {
    "import_mode": "replace",
    "file_type": "csv",
    "separator": ";",
    "character_set": "UTF-8",
    "update_rule": "always",
    "duplicates": "reject",
    "link_unidentified": "true",
    "identifier_pattern": "alphanumeric",
    "mangled_identifiers": "accept",
    "invalid_values": "drop",
    "ignore_unsubscribed": "true",
    "ignore_deactivated": "true",
    "max_rejected": "5%",
    "max_changed": "100",
    "approval": "second-person",
    "dry_run": "true",
}


@pytest.mark.parametrize("field", sorted(set(ImportOptions.model_fields) - {"group", "use_external_identifier"}))
def test_every_option_of_an_import_has_a_key_of_its_name(tmp_path: Path, field: str) -> None:
    [automation], wrong = load(tmp_path, f"{GOOD}    {field.replace('_', '-')}: {VALUES[field]}\n")
    assert wrong == []
    assert getattr(automation.options, field) != ImportOptions.model_fields[field].default


def test_r19_one_update_rule_or_a_list_of_them(tmp_path: Path) -> None:
    [automation], wrong = load(tmp_path, GOOD + "    update-rule: always\n")
    assert (automation.options.update_rule, wrong) == (("always",), [])
    [automation], wrong = load(tmp_path, GOOD + "    update-rule: [always, first_name=if-stored-blank]\n")
    assert automation.options.update_rules.rule("first_name") == "if-stored-blank"
    assert automation.options.update_rules.rule("last_name") == "always"


def test_r19_a_wrong_update_rule(tmp_path: Path) -> None:
    error = error_of(tmp_path, GOOD + "    update-rule: [always, frist_name=always]\n")
    assert error.key == "update-rule"
    assert "there is no field 'frist_name'" in str(error) and "'first_name'" in str(error)


def test_r20_r21_modes_and_switches(tmp_path: Path) -> None:
    text = "    import-mode: replace\n    ignore-unsubscribed: true\n    invalid-values: drop\n    link-unidentified: true\n"
    [automation], wrong = load(tmp_path, GOOD + text)
    found = automation.options
    assert (found.import_mode, found.ignore_unsubscribed, found.ignore_deactivated) == ("replace", True, False)
    assert (found.invalid_values, found.link_unidentified, wrong) == ("drop", True, [])


def test_detect_means_not_stated(tmp_path: Path) -> None:
    text = GOOD + "    file-type: detect\n    separator: detect\n    character-set: detect\n"
    [automation], _ = load(tmp_path, text)
    assert (automation.options.file_type, automation.options.separator, automation.options.character_set) == (None,) * 3


@pytest.mark.parametrize(("value", "is_on"), [("true", True), ('"true"', True), ("'true'", True), ("false", False)])
def test_r2_the_parameter_with_its_value(tmp_path: Path, value: str, is_on: bool) -> None:
    [automation], wrong = load(tmp_path, with_parameter(f"{USE_IDENTIFIER}: {value}"))
    assert (automation.options.use_external_identifier, wrong) == (is_on, [])


@pytest.mark.parametrize("value", ["True", "TRUE", "tRue", "ture", "treu"])
def test_r2_another_spelling_of_the_value_names_the_right_one(tmp_path: Path, value: str) -> None:
    error = error_of(tmp_path, with_parameter(f"{USE_IDENTIFIER}: {value}"))
    assert (error.line, error.key, error.nearest) == (6, USE_IDENTIFIER, "true")
    assert repr(value) in str(error)


@pytest.mark.parametrize("value", ["yes", "on", "1", '""', "~", "ja"])
def test_r2_another_value_is_an_error(tmp_path: Path, value: str) -> None:
    error = error_of(tmp_path, with_parameter(f"{USE_IDENTIFIER}: {value}"))
    assert (error.line, error.key) == (6, USE_IDENTIFIER)
    assert "expected 'true' or 'false'" in str(error)


@pytest.mark.parametrize(
    "name",
    ["Source-Use-CustomerIdentifier", "SOURCE-USE-CUSTOMERIDENTIFIER", "source-use-customerIdentifier",
     "source-use-customer-identifier", "source_use_customeridentifier", "source-use-customeridentifer",
     "use-customeridentifier", "source-use-identifier"],
)  # fmt: skip
def test_r2_another_spelling_of_the_name_names_the_right_one(tmp_path: Path, name: str) -> None:
    error = error_of(tmp_path, with_parameter(f"{name}: true"))
    assert (error.line, error.key, error.nearest) == (6, name, USE_IDENTIFIER)
    assert USE_IDENTIFIER in str(error)


def test_r2_the_parameter_does_not_stand_among_the_keys(tmp_path: Path) -> None:
    error = error_of(tmp_path, f"{GOOD}    {USE_IDENTIFIER}: true\n")
    assert (error.line, error.key) == (5, USE_IDENTIFIER)


def test_r2_the_parameter_twice(tmp_path: Path) -> None:
    text = with_parameter(f"{USE_IDENTIFIER}: true\n      {USE_IDENTIFIER}: false")
    error = error_of(tmp_path, text)
    assert (error.line, error.key) == (7, USE_IDENTIFIER)


@pytest.mark.parametrize(
    ("line", "key", "nearest"),
    [
        ("Group: x", "Group", "group"),
        ("patern: x", "patern", "pattern"),
        ("import_mode: add-and-update", "import_mode", "import-mode"),
        ("separater: ';'", "separater", "separator"),
        ("zzzzzz: 1", "zzzzzz", None),
        ("import-mode: add-and-updat", "import-mode", "add-and-update"),
        ("duplicates: Last", "duplicates", "last"),
        ("active: True", "active", "true"),
        ("active: yes", "active", None),
        ("job: import_contacts", "job", "import-contacts"),
        ("schedule: hourly", "schedule", None),
        ("separator: '#'", "separator", None),
        ("character-set: klingon", "character-set", None),
        ("identifier-pattern: '['", "identifier-pattern", None),
        ("max-rejected: 200%", "max-rejected", None),
        ("max-changed: some", "max-changed", None),
        ("approval: require", "approval", "required"),
        ("approval: second person", "approval", "second-person"),
        ("dry-run: maybe", "dry-run", None),
        ("pattern: [a, b]", "pattern", None),
        ("pattern: {a: b}", "pattern", None),
        ("additional-parameters: x", "additional-parameters", None),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_the_nearest(
    tmp_path: Path, line: str, key: str, nearest: str | None
) -> None:
    error = error_of(tmp_path, f"{GOOD}    {line}\n")
    assert (error.line, error.key, error.nearest) == (5, key, nearest)


@pytest.mark.parametrize("key", ["name", "group", "source"])
@pytest.mark.parametrize("value", [None, "", '""'])
def test_what_every_automation_needs(tmp_path: Path, key: str, value: str | None) -> None:
    keys = {"name": "a", "group": "b", "source": "c"}
    given = [
        f"{name}: {value if name == key else one}" for name, one in keys.items() if value is not None or name != key
    ]
    error = error_of(tmp_path, "automations:\n  - " + "\n    ".join(given) + "\n")
    assert error.key == key
    assert f"'{key}' is missing or blank" in str(error)


@pytest.mark.parametrize("name", ["Nightly", "a b", "a_b", "../x", "ä", "a/b"])
def test_a_name_that_does_not_fit(tmp_path: Path, name: str) -> None:
    error = error_of(tmp_path, GOOD.replace("name: nightly-crm", f"name: '{name}'"))
    assert (error.line, error.key) == (2, "name")


def test_one_that_is_wrong_does_not_stop_the_others(tmp_path: Path) -> None:
    def one(name: str) -> str:
        return f"  - name: {name}\n    group: G\n    source: drop/{name}\n"

    text = "automations:\n" + one("a") + one("b") + "    patern: x\n" + one("c") + "  - just text\n" + one("d")
    right, wrong = load(tmp_path, text)
    assert [automation.name for automation in right] == ["a", "c", "d"]
    assert [(error.line, error.key) for error in wrong] == [(8, "patern"), (12, None)]


def test_two_automations_share_neither_name_nor_source(tmp_path: Path) -> None:
    def one(name: str, source: str) -> str:
        return f"  - name: {name}\n    group: G\n    source: {source}\n"

    text = "automations:\n" + one("a", "x") + one("a", "y") + one("b", "x") + one("c", "./x/") + one("d", "z/../x")
    right, wrong = load(tmp_path, text)
    assert [automation.name for automation in right] == ["a"]
    assert [(error.line, error.key) for error in wrong] == [(5, "name"), (10, "source"), (13, "source"), (16, "source")]


def test_a_key_twice(tmp_path: Path) -> None:
    error = error_of(tmp_path, GOOD + "    group: Other\n")
    assert (error.line, error.key) == (5, "group")


def test_scalars_are_texts(tmp_path: Path) -> None:
    """YAML would make a number of 007, a truth value of no, and a date of 2024-01-01."""
    for text in ("007", "no", "2024-01-01", "1e5", "null", "~"):
        [automation], wrong = load(tmp_path, GOOD.replace("Newsletter", text))
        assert (automation.options.group, wrong) == (text, [])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("automations:\n  - name: a\n   group: b\n", 3),
        ("automations:\n  - name: 'a\n", 3),
        ("automations: [", 1),
        ("automations:\n\t- name: a\n", 2),
        ("automations: x\n", 1),
        ("automation:\n  - name: a\n", 1),
        ("- name: a\n", 1),
        ("just text\n", 1),
    ],
)
def test_a_file_that_is_no_list_of_automations(tmp_path: Path, text: str, line: int) -> None:
    assert error_of(tmp_path, text).line == line


def test_a_file_that_is_not_utf8_or_has_a_control_character(tmp_path: Path) -> None:
    for content in (GOOD.encode() + b"# \xff\n", GOOD.encode() + b"# \0\n"):
        right, [error] = load(tmp_path, content)
        assert (right, error.file) == ([], "automations.yaml")


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "automations:\n", "automations: []\n"])
def test_no_automations(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text) == ([], [])


def test_a_missing_file_has_none(tmp_path: Path) -> None:
    assert load_automations(tmp_path / "automations.yaml", tmp_path) == ([], [])


def test_anchors_and_merges_of_yaml(tmp_path: Path) -> None:
    text = "automations:\n  - name: a\n    group: &g News\n    source: x\n  - name: b\n    group: *g\n    source: y\n"
    right, wrong = load(tmp_path, text)
    assert ([automation.options.group for automation in right], wrong) == (["News", "News"], [])


@pytest.mark.parametrize(
    ("cron", "zone"),
    [
        ("0 2 * * *", "Europe/Berlin"),
        ("*/5 8-18 * * MON-FRI", "UTC"),
        ("@daily", "America/New_York"),
        ("0 0 L * *", "UTC"),
    ],
)
def test_a_cron_line_with_its_time_zone(tmp_path: Path, cron: str, zone: str) -> None:
    [automation], wrong = load(tmp_path, GOOD + f'    schedule: "{cron}"\n    time-zone: {zone}\n')
    assert wrong == []
    assert (automation.is_scheduled, automation.cron, automation.time_zone) == (True, cron, zone)
    assert (automation.schedule_name, automation.schedule) == ("nightly_crm", cron)


def test_without_a_schedule_files_are_imported_when_they_arrive(tmp_path: Path) -> None:
    for line in ("", "    schedule: on-arrival\n"):
        [automation], _ = load(tmp_path, GOOD + line)
        assert (automation.is_scheduled, automation.cron, automation.schedule) == (False, None, "on-arrival")
    [automation], _ = load(tmp_path, GOOD + '    schedule: "0 2 * * *"\n')
    assert automation.time_zone == "UTC"


@pytest.mark.parametrize(
    "cron",
    [
        "hourly",
        "On-Arrival",
        "0 2 * *",
        "0 2 * * * *",
        "0 25 * * *",
        "61 * * * *",
        "0 0 30 2 *",
        "*/90 * * * *",
        "x x x x x",
    ],
)
def test_a_wrong_cron_line(tmp_path: Path, cron: str) -> None:
    error = error_of(tmp_path, GOOD + f'    schedule: "{cron}"\n')
    assert (error.line, error.key) == (5, "schedule")
    assert repr(cron) in str(error)


@pytest.mark.parametrize(
    ("zone", "nearest"),
    [
        ("Europe/Berln", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("Berlin", None),
        ("Europe", None),
        ("/etc/x", None),
    ],
)
def test_an_unknown_time_zone_names_the_nearest(tmp_path: Path, zone: str, nearest: str | None) -> None:
    error = error_of(tmp_path, GOOD + f'    schedule: "0 2 * * *"\n    time-zone: {zone}\n')
    assert (error.line, error.key) == (6, "time-zone")
    assert nearest is None or error.nearest == nearest


@pytest.mark.parametrize("name", ["housekeeping", "drop-folder", "marts", "import", "config"])
def test_a_schedule_cannot_have_a_name_that_dagster_or_we_use(tmp_path: Path, name: str) -> None:
    named = GOOD.replace("name: nightly-crm", f"name: {name}")
    error = error_of(tmp_path, named + '    schedule: "0 2 * * *"\n')
    assert (error.line, error.key) == (2, "name")
    assert load(tmp_path, named)[1] == []


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("group: Newsletter", "grup: Newsletter") + "    active: yes\n    import-mode: all\n"
    _, wrong = load(tmp_path, text)
    assert [(error.line, error.key) for error in wrong] == [
        (2, "group"),
        (3, "grup"),
        (5, "active"),
        (6, "import-mode"),
    ]
    text = (
        GOOD
        + '    separator: "#"\n    character-set: klingon\n    schedule: "0 2 * * *"\n    time-zone: Mars/Olympus\n'
    )
    _, wrong = load(tmp_path, text)
    assert [(error.line, error.key) for error in wrong] == [(5, "separator"), (6, "character-set"), (8, "time-zone")]


def test_what_is_wrong_with_the_form_of_one_key_does_not_hide_what_is_wrong_with_others(tmp_path: Path) -> None:
    broken = (
        GOOD.replace("    group: Newsletter\n", "")
        + """\
    patern: x
    separator: "#"
    max-rejected: lots
    schedule: 99 2 * * *
    time-zone: Mars/Olympus
    active: yes
  - name: nightly-crm
    group: Newsletter
    source: imports
    approval: perhaps
"""
    )
    right, wrong = load(tmp_path, broken)
    assert right == []
    assert [(error.line, error.key) for error in wrong] == [
        (2, "group"), (4, "patern"), (5, "separator"), (6, "max-rejected"), (7, "schedule"), (8, "time-zone"),
        (9, "active"), (12, "source"), (13, "approval"),
    ]  # fmt: skip


def test_one_that_is_wrong_takes_neither_name_nor_source_from_one_that_is_right(tmp_path: Path) -> None:
    again = GOOD.removeprefix("automations:\n") + "    active: yes\n"
    [first], wrong = load(tmp_path, GOOD + again)
    assert first.name == "nightly-crm"
    assert [(error.line, error.key) for error in wrong] == [(5, "name"), (8, "active")]
    [second], wrong = load(tmp_path, "automations:\n" + again + GOOD.removeprefix("automations:\n"))
    assert second.name == "nightly-crm" and [(error.line, error.key) for error in wrong] == [(5, "active")]


def test_every_option_that_is_on_or_off_takes_true_and_false_only(tmp_path: Path) -> None:
    switches = [key for key, field in option_keys().items() if field.annotation is bool]
    assert "ignore-unsubscribed" in switches
    for key in switches:
        [automation], _ = load(tmp_path, GOOD + f"    {key}: true\n")
        assert getattr(automation.options, key.replace("-", "_")) is True
        assert error_of(tmp_path, GOOD + f"    {key}: True\n").nearest == "true"


@pytest.mark.parametrize(
    "source", [".", "..", "imports", "done/crm", "reports", "dagster", "postgres/x", "drop/../failed"]
)
def test_a_source_that_is_the_program_s_own_is_refused(tmp_path: Path, source: str) -> None:
    error = error_of(tmp_path, GOOD.replace("drop/nightly-crm", source))
    assert (error.key, "holds files of the program itself" in str(error)) == ("source", True)


@pytest.mark.parametrize("key", ["use-external-identifier", "source-use-customeridentifier"])
def test_r2_the_parameter_in_the_wrong_place_is_shown_the_right_one(tmp_path: Path, key: str) -> None:
    error = error_of(tmp_path, GOOD + f'    {key}: "true"\n')
    assert 'write `additional-parameters: {source-use-customeridentifier: "true"}`' in str(error)
