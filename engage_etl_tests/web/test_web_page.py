"""What people see in the web page of ``engage-etl up``: dropped files, what became of them, approvals, reports (R35, R39).

All tests of the folder stand in this module, so that one running service is enough for them.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from engage_etl.reports.page_file import page_address
from engage_etl.store.approvals import find_approval
from engage_etl.store.imports import Import
from engage_etl.vocabulary.outcomes import Outcome
from engage_etl_tests.web.browser import Watched, entry_of, metadata, picture
from engage_etl_tests.web.contrast import hard_to_read
from engage_etl_tests.web.office import REVIEWED, SAMPLES, Office

pytestmark = [pytest.mark.scenario, pytest.mark.longest]

STAGES = ("raw_file", "validated_rows", "match_plan", "applied_updates")
SAMPLE = "crm-update.csv"
COUNTS = {"rows": 67, "created": 1, "updated": 25, "unchanged": 36, "skipped": 2, "rejected": 3}
FIELDS = [f"user.CustomAttribute.Nr{number}" for number in range(20)]
MUCH = "\n".join(
    [
        ",".join(["user.Identifier", "user.Email", "user.ISOCountryCode", *FIELDS]),
        ",".join(["N-1", "n1@example.org", "DE", *map(str, range(20))]),
        *(",".join([f"N-{number}", "nobody", "ZZZZ", *FIELDS]) for number in range(2, 40)),
    ]
)
"""Many changed fields, and more rejected rows than a report shows, each with two bad fields."""


def open_run(page: Page, name: str, status: str) -> None:
    """From the list of runs to the run of a file, which has ended so."""
    listed = entry_of(page, f"file: {name}", "View")
    expect(listed).to_contain_text(status)
    listed.get_by_role("link", name="View", exact=True).click()


def open_partition(page: Page, asset: str, import_id: str) -> None:
    """From the catalog over the lineage graph to what an asset holds for an import."""
    page.get_by_role("link", name="Catalog").click()
    page.get_by_role("link", name="contact_import").first.click()
    for stage in STAGES:
        expect(page.get_by_role("button", name=stage)).to_be_visible()
    page.get_by_role("button", name=asset).click()
    expect(page.get_by_role("heading", name=asset)).to_be_visible()
    page.get_by_role("link", name="View in Asset Catalog").click()
    page.get_by_role("tab", name="Partitions").click()
    page.get_by_title(import_id).click()


def open_report(page: Page, entry: Import) -> Page:
    """The report, in a tab of its own, from the link in the metadata."""
    page.goto(f"/assets/applied_updates?view=partitions&partition={entry.import_id}")
    with page.expect_popup() as opened:
        metadata(page, "report_page").get_by_role("link").first.click()
    return opened.value


def pages_when_printed(page: Page) -> int:
    """On paper of the size that the page asks for."""
    return len(re.findall(rb"/Type\s*/Page\b", page.pdf(prefer_css_page_size=True)))


@pytest.fixture(scope="module")
def reported(office: Office) -> Import:
    """An import with every outcome: that of the first test, unless this process has not run it."""
    if office.import_of(SAMPLE) is None:
        office.drop((SAMPLES / SAMPLE).read_bytes(), SAMPLE)
    return office.ended(SAMPLE)


def test_a_dropped_file_turns_green_and_its_counts_can_be_read(office: Office, window: Watched) -> None:
    page = window.open("/runs")
    office.drop((SAMPLES / SAMPLE).read_bytes(), SAMPLE)
    expect(entry_of(page, f"file: {SAMPLE}", "View")).to_contain_text("Success")
    entry = office.ended(SAMPLE)
    open_partition(page, "applied_updates", entry.import_id)
    for name, count in COUNTS.items():
        expect(metadata(page, name)).to_have_text(str(count))
    picture(page, "partition")


def test_the_lineage_graph_shows_the_four_stages_and_the_marts(window: Watched) -> None:
    page = window.open("/locations/engage_etl.definitions/asset-groups/contact_import")
    for name in (*STAGES, "stg_imports"):
        expect(page.get_by_text(name, exact=True).last).to_be_visible()
    picture(page, "lineage")


def test_r35_a_person_approves_a_plan_by_its_link_and_a_name(office: Office, window: Watched) -> None:
    office.drop("user.Identifier,user.LastName\nCRM-00200,Neumann\n", "reviewed.csv", REVIEWED)
    entry = office.ended("reviewed.csv")
    assert entry.status == "waiting_for_approval"
    page = window.open("/runs")
    open_run(page, "reviewed.csv", "Success")
    expect(page.get_by_text("reviewed.csv: the plan waits for approval.")).to_be_visible()
    picture(page, "waiting-run")
    with page.expect_popup() as opened:
        page.get_by_role("link", name=f"/approve/{entry.import_id}").last.click()
    launchpad = opened.value
    launchpad.locator(".CodeMirror-line").filter(has_text="by:").click()
    launchpad.keyboard.press("End")
    launchpad.keyboard.press("ArrowLeft")
    launchpad.keyboard.type("Ann")
    expect(launchpad.get_by_text("No errors")).to_be_visible()
    picture(launchpad, "approval")
    launchpad.get_by_role("button", name="Launch Run").click()
    expect(launchpad.get_by_text("Success", exact=True).first).to_be_visible()
    applied = office.import_of("reviewed.csv")
    with office.importing.store.engine.connect() as connection:
        approval = find_approval(connection, entry.import_id)
    assert applied is not None and (applied.status, applied.plan_hash) == ("applied", entry.plan_hash)
    assert approval is not None and approval.approved_by == "Ann"


def test_the_run_of_a_broken_file_says_what_is_wrong_and_what_to_do(office: Office, window: Watched) -> None:
    office.drop("user.Identifier,user.Emial\nCRM-00001,a@example.org\n", "broken.csv")
    sentence = office.ended("broken.csv").error_message or ""
    page = window.open("/runs")
    expect(entry_of(page, "file: broken.csv", "View")).to_contain_text("Failure")
    picture(page, "runs")
    open_run(page, "broken.csv", "Failure")
    assert "'user.Emial'" in sentence and "Did you mean 'user.Email'?" in sentence
    expect(page.get_by_text(sentence.splitlines()[0]).last).to_be_in_viewport()
    picture(page, "failed-run", above="Stack Trace:")  # which names folders of this machine


def test_r39_the_report_opens_from_its_link_light_and_dark(coloured_window: Watched, reported: Import) -> None:
    report = open_report(coloured_window.open("/runs"), reported)
    assert urlsplit(report.url).path == page_address(reported.import_id)
    expect(report.get_by_role("heading", level=1)).to_have_text(f"{SAMPLE} → Newsletter")
    expect(report.get_by_text(f"{COUNTS['rows']} rows")).to_be_visible()
    for outcome in Outcome:
        expect(report.get_by_role("row", name=f"{outcome.value} {COUNTS[outcome.value]}")).to_be_visible()
    assert hard_to_read(report) == []
    assert report.evaluate("performance.getEntriesByType('resource').map(resource => resource.name)") == []
    assert coloured_window.complaints_about(page_address(reported.import_id)) == []
    assert pages_when_printed(report) == 1
    picture(report, f"report-{coloured_window.color_scheme}", full_page=True)


def test_r39_a_report_with_much_in_it_prints_on_one_page(office: Office, window: Watched) -> None:
    office.drop(MUCH, "much.csv")
    entry = office.ended("much.csv")
    report = window.open(page_address(entry.import_id))
    expect(report.get_by_text("28 more are in rejected.csv")).to_be_visible()
    expect(report.locator(".bar.rejected")).to_have_count(1)
    expect(report.locator(".bar.updated")).to_have_count(0)  # as there are none
    assert hard_to_read(report) == []
    assert pages_when_printed(report) == 1
    picture(report, "report-with-much", full_page=True)
