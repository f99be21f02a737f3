"""A file that does not look like the one before it is noticed: other columns, another type, half or double the rows."""

from __future__ import annotations

import shutil

import pytest

from engage_etl.store.imports import update_import
from engage_etl.validated_rows.likeness import Likeness, likeness
from engage_etl.validated_rows.validation import load_summary
from engage_etl_tests.importing import Importing

HEADER = "user.Identifier,user.Email,user.FirstName\n"


def text(rows: int, header: str = HEADER) -> str:
    cells = header.count(",")
    return header + "".join(f"{n},{n}@x.org{',A' * (cells - 1)}\n" for n in range(rows))


def look(importing: Importing, content: str, **given: object) -> Likeness:
    """Plan a file and compare it with the one before."""
    entry = importing.plan(content, **given)  # type: ignore[arg-type]
    summary = load_summary(importing.store.settings.import_dir(entry.import_id))
    assert summary is not None
    return likeness(importing.store, entry, summary)


@pytest.fixture
def before(importing: Importing) -> str:
    """An import of 300 rows, applied."""
    return importing(text(300), name="monday.csv").import_id


def test_the_first_file_is_compared_with_nothing(importing: Importing) -> None:
    assert look(importing, text(1)).finding == "there is no file before it to compare it with"


@pytest.mark.parametrize("rows", [150, 300, 600])
def test_a_file_of_about_the_length_with_the_columns_is_like_it(importing: Importing, before: str, rows: int) -> None:
    found = look(importing, text(rows))
    assert (found.differences, found.rows_before) == ((), 300)
    assert found.finding == "it looks like monday.csv, the one before it"


@pytest.mark.parametrize(("rows", "said"), [(149, "149"), (601, "601"), (0, "0")])
def test_less_than_half_and_more_than_double_the_rows_are_noticed(
    importing: Importing, before: str, rows: int, said: str
) -> None:
    assert look(importing, text(rows)).differences == (f"it has {said} rows and that had 300",)


def test_columns_that_lack_or_are_new_are_named(importing: Importing, before: str) -> None:
    found = look(importing, text(300, "user.Identifier,user.Email,user.CustomAttribute.Colour\n"))
    assert found.differences == ("it lacks user.FirstName", "user.CustomAttribute.Colour is new")


def test_the_order_of_columns_is_of_no_account_and_another_type_is(importing: Importing, before: str) -> None:
    users = "".join(
        f"<user><email>{n}@x.org</email><firstname>A</firstname><identifier>{n}</identifier></user>" for n in range(300)
    )
    found = look(importing, f"<userdata><list>{users}</list></userdata>", name="tuesday.xml")
    assert found.differences == ("it is xml and that was csv",)


def test_short_files_double_by_chance(importing: Importing) -> None:
    importing(text(3))
    assert look(importing, text(80)).differences == ()


def test_without_the_stage_files_of_the_one_before_its_length_is_still_known(importing: Importing, before: str) -> None:
    shutil.rmtree(importing.store.settings.import_dir(before))
    assert look(importing, text(700, "user.Identifier,user.Email\n")).differences == (
        "it has 700 rows and that had 300",
    )


def test_a_correction_is_compared_with_nothing(importing: Importing, before: str) -> None:
    entry = importing.plan(text(1))
    with importing.store.engine.begin() as connection:
        update_import(connection, entry.import_id, amends=before)
    summary = load_summary(importing.store.settings.import_dir(entry.import_id))
    assert summary is not None
    assert likeness(importing.store, importing.entry(entry.import_id), summary).previous is None
