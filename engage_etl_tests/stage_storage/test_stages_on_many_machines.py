"""Each stage in its own process with its own, empty data folder: only the database and the bucket are shared."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engage_etl.erasure.erasing import forget
from engage_etl.errors import UsageError
from engage_etl.raw_file.settling import settle_file
from engage_etl.reports.copied_report import copy_report
from engage_etl.reports.page_file import page_of
from engage_etl.settings import Settings
from engage_etl.store.engine import Store, open_store
from engage_etl.store.imports import Import, list_imports
from engage_etl.triggers.arrivals import take_arrivals
from engage_etl.triggers.automations import Automation
from engage_etl.triggers.outbox import settle_ended
from engage_etl.validated_rows.likeness import likeness
from engage_etl.validated_rows.stage import recorded_summary
from engage_etl.vocabulary.options import ImportOptions
from engage_etl.vocabulary.outcomes import Status
from engage_etl_tests.importing import GROUP, Importing
from engage_etl_tests.retention.ageing import age, retain
from engage_etl_tests.sources.services import Bucket, Keyring, keyring
from engage_etl_tests.stage_storage.machine import NAMES, run_elsewhere

HEADER = "user.Identifier,user.Email,user.LastName\n"
XML = """<userdata xmlns="http://webservices.ecircle-ag.com/ecm"><list>
<user><identifier>x1</identifier><email>xml@x.org</email></user>
<user><identifier>x2</identifier><email>nonsense</email></user></list></userdata>"""


ENDS = {
    "plain.csv": (Status.APPLIED, 1, 1),
    "some.xml": (Status.APPLIED, 1, 1),
    "two.zip/a.csv": (Status.APPLIED, 1, 0),
    "two.zip/b.csv": (Status.APPLIED, 1, 1),
    "packed.csv.gz": (Status.APPLIED, 1, 0),
    "secret.csv.gpg": (Status.APPLIED, 1, 1),
    "broken.csv": (Status.FAILED, 0, 0),
}
SETTLED = [
    "done/packed.csv.gz",
    "done/plain.csv",
    "done/secret.csv.gpg",
    "done/some.xml",
    "done/two.zip",
    "failed/broken.csv",
]


class NoRuns:
    def remove_naming(self, import_ids: object, texts: object, *, dry_run: bool) -> int:
        return 0


@pytest.fixture(scope="module")
def key() -> Iterator[Keyring]:
    with keyring("import@example.org") as made:
        yield made


@pytest.fixture
def machine(importing: Importing, bucket: Bucket, key: Keyring) -> Store:
    """The machine with the drop folder."""
    update = {
        "storage_url": f"s3://{bucket.name}/engage",
        "s3_endpoint_url": bucket.endpoint,
        "gnupg_home": key.home,
    }
    return replace(importing.store, settings=importing.store.settings.model_copy(update=update))


def zipped(**files: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{name}.csv", content)
    return packed.getvalue()


def drop(machine: Store, key: Keyring) -> Automation:
    """Files of every kind in the drop folder of this machine."""
    folder = machine.settings.drop_dir / "crm"
    folder.mkdir(parents=True)
    (folder / "plain.csv").write_text(HEADER + "1,ann@x.org,Quirrel\n2,nonsense,Bloggs\n")
    (folder / "some.xml").write_text(XML)
    (folder / "two.zip").write_bytes(zipped(a=HEADER + "a1,a@x.org,A\n", b=HEADER + "b1,b@x.org,B\n,no@x.org,B\n"))
    (folder / "packed.csv.gz").write_bytes(gzip.compress((HEADER + "g1,g@x.org,G\n").encode(), mtime=0))
    (folder / "secret.csv.gpg").write_bytes(key.encrypt((HEADER + "s1,s@x.org,Secretive\n2,none,S\n").encode()))
    (folder / "broken.csv").write_text("user.Identifier,user.Emial\n1,a@x.org\n")
    return Automation("crm", folder, "*", True, ImportOptions(group=GROUP, use_external_identifier=True))


def take(machine: Store, automation: Automation) -> list[str]:
    """Claim what was dropped; the clock is the test's."""
    _, seen = take_arrivals(machine, [automation], {}, 1_000_000.0)
    taken, _ = take_arrivals(machine, [automation], seen, 1_000_100.0)
    return taken


def run_all_stages(settings: Settings, folder: Path, import_ids: list[str]) -> None:
    """Each stage elsewhere; the folder of this machine is out of reach meanwhile."""
    away = settings.root.rename(settings.root.with_name("out-of-reach"))
    for number, stage in enumerate(NAMES):
        run_elsewhere(settings, folder / f"machine-{number}", stage, import_ids)
    away.rename(settings.root)


def entries(machine: Store) -> dict[str, Import]:
    with machine.engine.connect() as connection:
        return {entry.file: entry for entry in list_imports(connection)}


def rejected(folder: Path) -> list[str]:
    with (folder / "rejected.csv").open(newline="") as file:
        return [row[-2] for row in csv.reader(file)][1:]


@pytest.mark.scenario
def test_a_whole_import_on_machines_that_share_no_disk(
    machine: Store, bucket: Bucket, key: Keyring, importing: Importing, tmp_path: Path
) -> None:
    automation = drop(machine, key)
    ids = take(machine, automation)
    assert len(ids) == 7
    run_all_stages(machine.settings, tmp_path, ids)

    found = entries(machine)
    assert {name: (one.status, one.created, one.rejected) for name, one in found.items()} == ENDS
    # No machine keeps anything, and what came encrypted is in the bucket as it came, and as checked rows.
    left = [file for number in range(4) for file in (tmp_path / f"machine-{number}").rglob("*") if file.is_file()]
    assert [file for file in left if file.name != ".lock"] == []
    secret = found["secret.csv.gpg"].import_id
    kept = [name.split("/", 3)[3] for name in bucket.list_keys() if f"imports/{secret}/" in name]
    assert kept == ["raw/secret.csv.gpg", "rejected.parquet", "stage.json", "valid.parquet"]

    _what_was_found_is_known_anywhere(machine, found["plain.csv"], tmp_path)
    _put_away_where_they_were_dropped(machine, bucket, tmp_path)
    _reports_can_be_read_anywhere(machine, found, tmp_path)
    _one_person_is_erased(machine, bucket, importing, found["plain.csv"].import_id, tmp_path)
    _what_is_old_goes(machine, bucket, list(found.values()), tmp_path)
    machine.kept.close()
    assert not list((machine.settings.root / "work").glob("copies-*"))


def _what_was_found_is_known_anywhere(machine: Store, entry: Import, tmp_path: Path) -> None:
    """What the web UI says of columns, and compares the next file with."""
    with open_store(machine.settings.model_copy(update={"data_dir": tmp_path / "elsewhere"})) as other:
        summary = recorded_summary(other, entry.import_id)
        assert summary is not None and list(summary.columns.values()) == ["identifier", "email", "last_name"]
        # Whichever of the files was applied last, it had e-mail addresses.
        narrower = summary.model_copy(update={"columns": {"user.Identifier": "identifier"}})
        next_file = replace(entry, import_id="next", received_at=datetime.now(UTC))
        assert "it lacks " in likeness(other, next_file, narrower).finding


def _put_away_where_they_were_dropped(machine: Store, bucket: Bucket, tmp_path: Path) -> None:
    """From another machine nothing happens to them; then each ends here, and its copy in the storage goes."""
    away = machine.settings.root.rename(machine.settings.root.with_name("out-of-reach"))
    with open_store(machine.settings.model_copy(update={"data_dir": tmp_path / "other"})) as other:
        settle_ended(other, pytest.fail)
    away.rename(machine.settings.root)
    assert len([name for name in bucket.list_keys() if "/arrivals/" in name]) == 6
    # Nor does a worker that can see the drop folder put them into a folder of its own.
    assert [settle_file(machine, entry.import_id) for entry in entries(machine).values()] == [None] * 7
    settle_ended(machine, pytest.fail)
    settled = [file.relative_to(machine.settings.root).parts for file in machine.settings.root.glob("*/crm/*/*")]
    assert sorted(f"{parts[0]}/{parts[-1]}" for parts in settled if parts[0] != "drop") == SETTLED
    assert [name for name in bucket.list_keys() if "/arrivals/" in name] == []


def _reports_can_be_read_anywhere(machine: Store, found: dict[str, Import], tmp_path: Path) -> None:
    page = page_of(machine.settings.model_copy(update={"data_dir": tmp_path / "web"}), found["plain.csv"].import_id)
    assert page is not None and b"plain.csv" in page
    for name in ("plain.csv", "some.xml", "two.zip/b.csv", "secret.csv.gpg"):
        assert len(rejected(copy_report(machine, found[name].import_id, tmp_path / "reports"))) == 1


def _one_person_is_erased(machine: Store, bucket: Bucket, importing: Importing, plain: str, tmp_path: Path) -> None:
    """Where the drop folders are; from elsewhere nobody could see to the files in them."""
    ann = next(one["contact_id"] for one in importing.contacts() if one["identifier"] == "1")
    away = machine.settings.root.rename(machine.settings.root.with_name("out-of-reach"))
    with (
        open_store(machine.settings.model_copy(update={"data_dir": tmp_path / "other"})) as other,
        pytest.raises(UsageError, match="run the command on the machine with the drop folders"),
    ):
        forget(other, NoRuns(), ann, by="test")
    away.rename(machine.settings.root)
    assert any(b"ann@x.org" in bucket.get(name) for name in bucket.list_keys() if f"imports/{plain}/raw/" in name)
    erased = forget(machine, NoRuns(), ann, by="test").erased
    assert erased["raw_files"] == erased["settled_files"] == erased["stage_rows"] == 1
    theirs = {name: bucket.get(name) for name in bucket.list_keys() if f"/{plain}/" in name}
    assert len(theirs) == 8
    assert [name for name, content in theirs.items() if b"ann@x.org" in content or b"Quirrel" in content] == []
    assert len(rejected(copy_report(machine, plain, tmp_path / "reports"))) == 1


def _what_is_old_goes(machine: Store, bucket: Bucket, old: list[Import], tmp_path: Path) -> None:
    """What is in the bucket by anyone's hand, dropped files by that of their own machine."""
    for entry in old:
        age(machine, entry.import_id, 400)
    away = machine.settings.root.rename(machine.settings.root.with_name("out-of-reach"))
    with open_store(machine.settings.model_copy(update={"data_dir": tmp_path / "other"})) as other:
        there = retain(other, 0)
    away.rename(machine.settings.root)
    # The raw file of one person's import has gone before; of a broken file there were no rows.
    assert [there[kind].imports for kind in ("raw_file", "stage_files", "report", "settled_file")] == [6, 6, 7, 0]
    assert all("lies on another machine" in sentence for sentence in there["settled_file"].left)
    assert bucket.list_keys() == []
    here = retain(machine, 0)
    assert here["settled_file"].files == 5 and not any(result.left for result in here.values())
    assert [path for path in machine.settings.root.glob("*/crm/*/*") if path.parts[-4] != "drop"] == []
