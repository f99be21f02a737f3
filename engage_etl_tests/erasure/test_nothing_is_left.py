"""GDPR, article 17: after `contacts forget` nothing of the person is found anywhere; before, everything is."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sqlalchemy import select

from engage_etl.erasure.erasing import Forgotten
from engage_etl.raw_file.arrival import register_arrival
from engage_etl.settings import Settings
from engage_etl.store.imports import Import, list_imports, mark_claimed
from engage_etl.store.tables import erasure
from engage_etl.triggers.resources import Progress
from engage_etl.triggers.retention import forget_by_hand
from engage_etl.triggers.run_import import run_imports
from engage_etl.vocabulary.options import ImportOptions
from engage_etl_tests.erasure.searching import places_of
from engage_etl_tests.importing import GROUP, Importing
from engage_etl_tests.own_dagster import own_dagster

HEADER = (
    "user.Email,user.Identifier,user.MobileNumber,user.FaxNumber,user.FirstName,user.LastName,user.Nickname,"
    "user.DateOfBirth,user.ZipCode,user.CustomAttribute.colour,member.shop\n"
)
OTHERS = "ben@x.org,0002,,,Ben,Bloggs,,1970-01-01,04109,red,Leipzig\ncem@x.org,0003,,,Cem,,,,,blue,Halle\n"
ID = "000QX77-quirrel"
"""The identifier of the person; another row of somebody else nearly has it."""


@dataclass
class Marks:
    """Values of the person that nobody else has, each used once."""

    used: list[str]

    def __call__(self, form: str = "{}") -> str:
        self.used.append(form.format(f"quirrel{len(self.used):02}x"))
        return self.used[-1]

    def row(self, identifier: str = ID, email: str | None = None) -> str:
        """A row with a value of its own in each field."""
        number = len(self.used)
        numbers = [f"49177{55500000 + number}", f"19{10 + number:02}-03-07", f"Z{770000 + number}"]
        self.used += numbers
        mobile, born, code = numbers
        address = email if email is not None else self("{}@mark.example.com")
        cells = (address, identifier, mobile, self(), self(), self(), self(), born, code, self(), self())
        return ",".join(cells) + "\n"


@dataclass
class Installation:
    """Imports by real runs, by hand and dropped, with one person in all of them."""

    importing: Importing
    settings: Settings

    def register(self, text: str, name: str, **options: object) -> str:
        content = gzip.compress(text.encode()) if name.endswith(".gz") else text
        return self.importing.register(content, name=name, **options)

    def drop(self, text: str, name: str) -> str:
        """As the sensor claims it, and as it is put away in ``done/`` or ``failed/``."""
        file = self.settings.drop_dir / "crm" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode("cp1252"))
        options = ImportOptions(group=GROUP, use_external_identifier=True)
        with self.importing.store.engine.begin() as connection:
            [import_id] = register_arrival(connection, self.settings, file, options, automation="crm")
            mark_claimed(connection, import_id)
        claimed = self.importing.entry(import_id).arrived_path
        claimed.parent.mkdir(parents=True)
        file.rename(claimed)
        return import_id

    def run(self, *import_ids: str) -> None:
        run_imports(self.settings, [self.importing.entry(one) for one in import_ids], Progress())

    def entries(self) -> list[Import]:
        with self.importing.store.engine.connect() as connection:
            return list_imports(connection)

    def contact_id(self, identifier: str = ID) -> int:
        [found] = [one for one in self.importing.contacts() if one["identifier"] == identifier]
        return int(found["contact_id"])

    def forget(self, contact_id: int, *, dry_run: bool = False) -> Forgotten:
        return forget_by_hand(self.settings, contact_id, by="the test", end_imports=False, dry_run=dry_run)


@pytest.fixture
def installation(importing: Importing, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    with own_dagster(settings) as own:
        monkeypatch.setenv("ENGAGE_DATABASE_URL", own.database_url or "")
        monkeypatch.setenv("ENGAGE_DATA_DIR", str(own.data_dir))
        monkeypatch.setenv("ENGAGE_DAGSTER_DATABASE", own.dagster_database)
        yield Installation(importing, own)


def xml(marks: Marks) -> str:
    return (
        "<userdata><list><user>"
        f"<identifier>{ID}</identifier><email>{marks('{}@mark.example.com')}</email><lastname>{marks()}</lastname>"
        f'<namedattr name="colour">{marks()}</namedattr></user>'
        "<user><identifier>0002</identifier><firstname>Benjamin</firstname></user></list></userdata>"
    )


def everything(installation: Installation, marks: Marks) -> None:
    """The person is created, updated, rejected, superseded, hinted at, packed, in XML, malformed, in a broken file."""
    imports = [
        installation.register(HEADER + marks.row() + OTHERS, "created.csv"),
        installation.drop(HEADER + OTHERS + marks.row(), "updated.csv"),
        installation.register(HEADER + marks.row(email=marks("no address {}")) + OTHERS, "rejected.csv"),
        installation.drop(HEADER + marks.row() + marks.row() + OTHERS, "superseded.csv"),
        installation.register("user.Identifier,user.FirstName\nQX77-QUIRREL,Hint\n0002,Ben\n", "hinted.csv"),
        installation.drop(HEADER + OTHERS + marks.row(), "packed.csv.gz"),
        installation.register(xml(marks), "profiles.xml"),
    ]
    installation.run(*imports)
    malformed = HEADER + OTHERS + marks.row().strip() + ",too,many\n" + marks.row()
    wrong_header = f"user.Emial,user.Identifier\n{marks('{}@mark.example.com')},{ID}\n"
    installation.run(installation.drop(malformed, "malformed.csv"), installation.drop(wrong_header, "wrong-header.csv"))


def test_nothing_is_left_anywhere(installation: Installation) -> None:
    marks = Marks([ID])
    everything(installation, marks)
    before, entries = places_of(installation.settings, marks.used), installation.entries()
    assert sorted(before) == sorted(set(marks.used)), "each mark stands somewhere, or the search could not fail"
    assert_places(before)
    others = [one for one in installation.importing.contacts(history=True) if one["identifier"] != ID]
    lines = report_lines(installation.settings)
    contact_id = installation.contact_id()

    foretold = installation.forget(contact_id, dry_run=True)
    assert places_of(installation.settings, marks.used) == before
    forgotten = installation.forget(contact_id)

    assert places_of(installation.settings, marks.used) == {}
    assert (forgotten.erased, forgotten.removed) == (foretold.erased, foretold.removed)
    assert installation.importing.contacts(history=True) == others
    assert_counts_add_up(installation, entries)
    assert report_lines(installation.settings) == lines
    assert_recorded(installation, contact_id)


def assert_places(before: dict[str, set[str]]) -> None:
    """The search looks at every kind of place."""
    places = {place for found in before.values() for place in found}
    for part in ("/raw/", "/unpacked/", "valid.parquet", "done/crm/", "failed/crm/", "changes.csv", "skipped.csv"):
        assert any(part in place for place in places), part
    for table in ("engage.contact", "engage.membership", "public.event_logs", "public.asset_keys"):
        assert table in places, table
    assert any(place.startswith("engage.plan_row_") for place in places)
    assert any(place.startswith("engage.contact_change_") for place in places)


def report_lines(settings: Settings) -> dict[str, int]:
    """How many records each file of each report has."""
    found = {}
    for file in sorted(settings.root.glob("reports/*/*.csv")):
        with file.open(encoding="cp1252", newline="") as reading:
            found[str(file.relative_to(settings.root))] = sum(1 for _ in csv.reader(reading))
    return found


def assert_counts_add_up(installation: Installation, entries: list[Import]) -> None:
    """The register, the plan and the stage files still agree on every row."""
    for before, after in zip(entries, installation.entries(), strict=True):
        assert (before.rows, before.outcome_counts()) == (after.rows, after.outcome_counts())
        if before.planned_at is not None:
            assert len(installation.importing.rows(after)) == after.rows
            folder = installation.settings.import_dir(after.import_id)
            stage = [pq.read_table(folder / name).num_rows for name in ("valid.parquet", "rejected.parquet")]
            assert sum(stage) == after.rows


def assert_recorded(installation: Installation, contact_id: int) -> None:
    with installation.importing.store.engine.connect() as connection:
        [record] = connection.execute(select(erasure)).all()
    assert (record.contact_id, record.asked_by) == (contact_id, "the test")
    assert record.ended_at is not None and record.erased["contacts"] == 1 and record.erased["runs"] > 0


def test_with_personal_data_shown_nothing_is_left_either(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGAGE_SHOW_PERSONAL_DATA", "true")
    marks = Marks([ID])
    installation.run(installation.register(HEADER + marks.row() + OTHERS, "created.csv"))
    shown = places_of(installation.settings, marks.used)
    assert all("public.event_logs" in places for places in shown.values())
    installation.forget(installation.contact_id())
    assert places_of(installation.settings, marks.used) == {}


def test_a_person_with_a_short_identifier_leaves_the_hints_about_others_readable(installation: Installation) -> None:
    people = "user.Email,user.Identifier\nann@mark.example.com,07\n"
    hinted = "user.Identifier\n7\n8\n"
    first = installation.register(people, "created.csv")
    second = installation.register(hinted, "hinted.csv")
    installation.run(first, second)
    entry = installation.importing.entry(second)
    assert "No contact 7; 07 exists." in installation.importing.messages(entry)[2]
    installation.forget(installation.contact_id("07"))
    messages = installation.importing.messages(entry)
    assert "No contact 7; (erased) exists." in messages[2] and "no contact has identifier 8," in messages[3]
    skipped = (installation.settings.report_dir(second) / "skipped.csv").read_text()
    assert "; 07 exists" not in skipped and "; (erased) exists." in skipped
    assert Path(entry.source_path).read_text() == hinted
    assert (installation.settings.import_dir(second) / "raw").exists()
