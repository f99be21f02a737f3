"""R39, R41: ``report.html`` tells how an import went, on one page, without clear values, and loads nothing from elsewhere."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from lxml import html

from engage_etl.errors import BrakeStopped, FileError
from engage_etl.reports.page_file import PAGE, page_of
from engage_etl.store.imports import list_imports
from engage_etl_tests.importing import Importing

SEED = "user.Email,user.Identifier,user.FirstName\nann.old@example.com,1,Anneliese\n"
MIXED = (
    "user.Identifier,user.Email,user.FirstName,user.CustomAttribute.Colour\n"
    "1,ann.new@example.com,Anneliese,crimson\n"
    "2,bob@example.com,Bob,teal\n"
    "3,not-an-address,Carlotta,\n"
    "4,,Dorothea,\n"
    ",nobody@example.com,Emil,\n"
)


def page(importing: Importing, import_id: str) -> html.HtmlElement:
    found = page_of(importing.store.settings, import_id)
    assert found is not None
    return html.document_fromstring(found.decode())


def charts(document: html.HtmlElement) -> dict[str, dict[str, str]]:
    """For each heading with a chart the number of rows by name."""
    return {
        section.findtext("h2"): {
            line.findtext("th"): line.findtext("td") for line in section.findall("table[@class='chart']/tr")
        }
        for section in document.iter("section")
        if section.find("table[@class='chart']") is not None
    }


def ended(importing: Importing, content: str, **options: str) -> str:
    with pytest.raises((FileError, BrakeStopped)):
        importing(content, **options)
    with importing.store.engine.connect() as connection:
        return list_imports(connection, limit=1)[0].import_id


def test_it_tells_outcomes_reasons_fields_and_rejected_rows(importing: Importing) -> None:
    importing.seed(SEED)
    entry = importing(MIXED)
    document = page(importing, entry.import_id)
    assert " ".join(document.find(".//h1").text_content().split()) == "contacts.csv → Newsletter"
    assert charts(document) == {
        "What became of the rows": {"created": "1", "updated": "1", "unchanged": "0", "skipped": "1", "rejected": "2"},
        "Why rows were skipped or rejected": {
            "no standard identifier": "1",
            "identifier missing": "1",
            "address invalid": "1",
        },
        "Changed fields": {"email": "2", "custom.Colour": "2", "groups": "1", "identifier": "1", "first name": "1"},
    }
    rows = [
        [cell.text for cell in line.findall("td")] for line in document.findall(".//table[@class='rejected']/tbody/tr")
    ]
    assert [row[:2] for row in rows] == [["4", "address invalid"], ["6", "identifier missing"]]
    assert rows == [[*row[:2], importing.messages(entry)[int(row[0])]] for row in rows]
    assert "Correct rejected.csv in the report and import it." in document.text_content()


def test_r41_it_holds_no_clear_value_and_only_its_owner_may_read_it(importing: Importing) -> None:
    importing.seed(SEED)
    entry = importing(MIXED)
    found = page_of(importing.store.settings, entry.import_id)
    file = importing.store.report_dir(entry.import_id) / PAGE
    assert found is not None and stat.S_IMODE(file.stat().st_mode) == 0o600
    text = found.decode()
    marked = ["ann.", "bob@", "not-an-address", "Anneliese", "Carlotta", "Dorothea", "nobody@", "crimson", "teal"]
    assert [value for value in marked if value in text] == []


def test_it_loads_nothing_from_elsewhere(importing: Importing) -> None:
    document = page(importing, importing(MIXED).import_id)
    text = html.tostring(document, encoding="unicode")
    assert re.findall(r"https?:|src=|url\(|@import|<script|<link", text) == []
    (policy,) = document.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_names_that_look_like_markup_are_text(importing: Importing) -> None:
    entry = importing("user.Identifier,user.Email\n1,a@x.org\n", name="<b onclick='x'>&.csv")
    document = page(importing, entry.import_id)
    assert document.findall(".//b") == []
    assert "<b onclick='x'>&.csv" in document.findtext(".//title")


def test_a_file_error_and_a_brake_have_a_page_that_says_what_to_do(importing: Importing) -> None:
    failed = page(importing, ended(importing, "user.Identifier,user.Emial\n1,a@x.org\n"))
    assert "'user.Emial'" in failed.findtext(".//p[@class='error']")
    assert "Put right what is said above, then import the file again." in failed.text_content()
    stopped = page(importing, ended(importing, MIXED, max_rejected="1"))
    assert "max-rejected" in stopped.findtext(".//p[@class='error']")
    assert charts(stopped)["What would become of the rows"]["created"] == "2"
    assert "What to do next" not in stopped.text_content()  # the sentence of the brake says it


def test_many_reasons_and_rows_still_fit_on_a_page(importing: Importing) -> None:
    fields = [f"user.CustomAttribute.Nr{number}" for number in range(20)]
    header = ",".join(["user.Identifier", "user.Email", *fields])
    right = f"1,a@x.org,{','.join(map(str, range(20)))}\n"
    entry = importing(f"{header}\n{right}" + f",b@x.org{',' * 20}\n" * 25, max_rejected="100%")
    document = page(importing, entry.import_id)
    changed = charts(document)["Changed fields"]
    assert len(changed) == 13 and changed["11 others"] == "11"
    assert len(document.findall(".//table[@class='rejected']/tbody/tr")) == 10
    assert "15 more are in rejected.csv" in document.text_content()


@pytest.mark.parametrize("import_id", ["../imports", "..", "a/b", "", "no.such.import", "/etc/passwd"])
def test_what_is_no_id_has_no_page(importing: Importing, import_id: str) -> None:
    Path(importing.store.settings.root, "imports").mkdir(parents=True, exist_ok=True)
    assert page_of(importing.store.settings, import_id) is None
