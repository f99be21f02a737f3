"""``import --amends``: a corrected ``rejected.csv`` belongs to its import, and both are added up."""

from __future__ import annotations

from pathlib import Path

import pytest

from engage_etl.errors import AutomationError, UsageError
from engage_etl.settings import Settings
from engage_etl.stage_run import revert_and_finish
from engage_etl.store.amendments import Corrections, amended_options, corrections
from engage_etl.store.imports import Import, update_import
from engage_etl.triggers.automations import load_automations
from engage_etl_tests.cli.commands import engage_etl
from engage_etl_tests.importing import GROUP, STAGES, Importing

HEADER = "user.Identifier,user.Email\n"
FIRST = HEADER + "".join(f"{number},c{number}@x.org\n" for number in range(8)) + "8,no address\n9,nor this\n"


def added_up(importing: Importing, entry: Import) -> Corrections | None:
    with importing.store.engine.connect() as connection:
        return corrections(connection, entry)


@pytest.mark.scenario
def test_corrected_rows_are_linked_and_added_up(importing: Importing, settings: Settings, tmp_path: Path) -> None:
    first = importing(FIRST, update_rule="always")
    rejected = settings.report_dir(first.import_id) / "rejected.csv"
    corrected = tmp_path / "corrected.csv"
    corrected.write_text(rejected.read_text().replace("no address", "c8@x.org"))
    ended = engage_etl(settings, "import", corrected, "--amends", first.import_id, "--json")
    assert ended.code == 0, ended.err
    assert (ended.json["amends"], ended.json["created"], ended.json["rejected"]) == (first.import_id, 1, 1)
    second = importing.entry(ended.json["import_id"])
    assert second.options == first.options
    for import_id in (first.import_id, second.import_id):
        shown = engage_etl(settings, "imports", "show", import_id, "--json").json["corrections"]
        assert shown == {
            "import_id": first.import_id,
            "imports": [second.import_id],
            "rows": 10,
            "applied_at_first": 8,
            "applied_after_correction": 1,
            "skipped": 0,
            "still_rejected": 1,
            "added": 0,
        }
    people = engage_etl(settings, "imports", "show", second.import_id)
    assert "10 rows: 8 applied at first, 1 after correction, 1 still rejected." in people.out
    assert f"Amends: {first.import_id}" in people.out
    again = tmp_path / "again.csv"
    report = settings.report_dir(second.import_id) / "rejected.csv"
    again.write_text(report.read_text().replace("nor this", "c9@x.org"))
    ended = engage_etl(settings, "import", again, "--amends", second.import_id, "--update-rule", "if-stored-blank")
    assert ended.code == 0, ended.err
    chain = added_up(importing, first)
    assert chain is not None
    assert chain.sentence() == "10 rows: 8 applied at first, 2 after correction, 0 still rejected."
    assert importing.entry(chain.imports[-1]).import_options.update_rule == ("if-stored-blank",)


def amended(importing: Importing, first: Import, content: str) -> Import:
    import_id = importing.register(content)
    with importing.store.engine.begin() as connection:
        update_import(connection, import_id, amends=first.import_id)
    return importing.run(import_id)


def test_rows_that_are_lacking_or_more_are_told(importing: Importing) -> None:
    first = importing(FIRST)
    assert added_up(importing, first) is None
    correction = amended(importing, first, HEADER + "8,c8@x.org\n")
    assert (found := added_up(importing, first)) is not None
    assert (found.applied_after_correction, found.still_rejected, found.added) == (1, 1, 0)
    amended(importing, first, HEADER + "9,c9@x.org\n10,c10@x.org\n11,c11@x.org\n")
    assert (found := added_up(importing, first)) is not None
    assert (found.applied_after_correction, found.still_rejected, found.added) == (4, 0, 2)
    assert found.sentence().endswith("0 still rejected, 2 more than were rejected.")
    revert_and_finish(importing.store, correction.import_id)
    assert (found := added_up(importing, first)) is not None
    assert (found.applied_after_correction, found.added) == (3, 1)


def test_a_row_that_is_corrected_and_imported_twice_counts_once(importing: Importing) -> None:
    first = importing(FIRST)
    for _ in range(2):
        amended(importing, first, HEADER + "8,c8@x.org\n")
    assert (found := added_up(importing, first)) is not None
    assert (found.applied_after_correction, found.still_rejected, found.added) == (1, 1, 0)


def test_of_xml_neither_type_nor_separator_nor_encoding_are_taken_over(importing: Importing) -> None:
    content = "<userdata><list><user><identifier>1</identifier><email>none</email></user></list></userdata>"
    first = importing(content, name="one.xml", file_type="xml", character_set="UTF-8", link_unidentified=True)
    with importing.store.engine.connect() as connection:
        options = amended_options(connection, first.import_id, {"duplicates": "reject"})
    assert options["duplicates"] == "reject" and options["link_unidentified"] is True
    assert not {"file_type", "separator", "character_set"} & options.keys()


def test_what_cannot_be_amended_is_said_in_a_sentence(importing: Importing) -> None:
    first = importing(FIRST)
    spotless = importing(HEADER + "1,c1@x.org\n")
    planned = importing.run(importing.register(FIRST), STAGES[:3])
    revert = revert_and_finish(importing.store, importing(HEADER + "5,new@x.org\nx,bad\n").import_id)
    wrong: list[tuple[str, dict[str, str], str]] = [
        ("nope", {}, "There is no import 'nope'"),
        (planned.import_id, {}, "is planned, so that there is nothing to amend"),
        (spotless.import_id, {}, "has no rejected or skipped row to correct"),
        (revert.import_id, {}, "is a revert and has no rows"),
        (str(revert.reverts), {}, "is reverted, so that there is nothing to amend"),
        (first.import_id, {"group": "Elsewhere"}, "is of the group 'Newsletter', and --group says 'Elsewhere'"),
    ]
    with importing.store.engine.connect() as connection:
        for import_id, stated, sentence in wrong:
            with pytest.raises(UsageError, match=sentence):
                amended_options(connection, import_id, stated)
        assert amended_options(connection, first.import_id, {"group": "NEWSLETTER"})["group"] == "NEWSLETTER"


@pytest.mark.scenario
def test_the_command_refuses_before_anything_is_registered(
    importing: Importing, settings: Settings, tmp_path: Path
) -> None:
    first = importing(FIRST)
    file = tmp_path / "corrected.csv"
    file.write_text(HEADER + "8,c8@x.org\n")
    for arguments, sentence in (
        ((file, file, "--amends", first.import_id), "--amends takes one corrected file at a time"),
        ((file, "--amends", "nope"), "There is no import 'nope'"),
        ((file, "--amends", first.import_id, "--group", "Else"), "--group says 'Else'"),
    ):
        ended = engage_etl(settings, "import", *arguments)
        assert ended.code == 2 and sentence in ended.err, ended.err
    listed = engage_etl(settings, "imports", "list", "--json").json
    assert [one["import_id"] for one in listed] == [first.import_id]


def test_automations_have_no_such_key(tmp_path: Path) -> None:
    file = tmp_path / "automations.yaml"
    file.write_text(f"automations:\n  - name: a\n    group: {GROUP}\n    source: drop/a\n    amends: some-id\n")
    right, [wrong] = load_automations(file, tmp_path)
    assert right == [] and isinstance(wrong, AutomationError)
    assert "there is no key 'amends'" in str(wrong)
