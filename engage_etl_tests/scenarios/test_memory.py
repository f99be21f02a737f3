"""Memory stays flat however long the file is."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from engage_etl.settings import Settings
from engage_etl_tests.cli.commands import engage_etl, environment
from engage_etl_tests.importing import GROUP, Importing
from engage_etl_tests.scenarios.forking import NAMES, forking

pytestmark = pytest.mark.scenario

ROWS = 1_000_000
MOST = 600
"""Mebibytes of resident memory that the processes of an import may have together at any time (issue 5, 4)."""

HEADER = (
    "user.Identifier,user.Email,user.MobileNumber,user.FirstName,user.LastName,user.ZipCode,user.ISOCountryCode,"
    "user.ISOLanguageCode,user.DateOfBirth,user.Title,user.CustomAttribute.colour,user.CustomAttribute['Favourite shop']\n"
)


@pytest.fixture
def file(settings: Settings, tmp_path: Path) -> Iterator[Path]:
    """A file that is taken away afterwards with all that was made of it: pytest keeps folders for three runs."""
    made = tmp_path / "contacts.csv"
    yield made
    for path in (made, *settings.root.glob("imports/*/**/*"), *settings.root.glob("reports/*/*")):
        if path.is_file():
            path.unlink()


def _write_million(file: Path) -> None:
    """Of a hundred rows, eight create a contact, two are rejected, and ninety are skipped for want of an address.

    Most rows match nobody, so that the server has little to do; it is our processes that are measured, and they read,
    check, load, and report a row that is skipped as any other.
    """
    family = "Last name {2} of a family that has been writing it like this since the year {1} and goes on doing so"
    addresses = ["{0}@example.com"] * 8 + ["no address"] * 2 + [""] * 90
    lines = [
        f"CRM-{{0:09d}},{address},,First {{1}},{family},{{1:05d}},DE,de,1980-01-{place % 28 + 1:02d},{place % 2 + 1},red,Süd\n"
        for place, address in enumerate(addresses)
    ]
    with file.open("w", encoding="utf-8") as writing:
        writing.write(HEADER)
        for number in range(ROWS):
            writing.write(lines[number % 100].format(number, number * 7919 % 99_991, number * 31 % 5003))


def _peak(process: subprocess.Popen[str]) -> int:
    """Mebibytes that a process and its children had at the most at one time, or a little more.

    Looked at all the time, it is the sum of the most that each of those alive has had. What processes share counts once:
    both have the same libraries, 110 MiB of them.
    """
    most, root = 0, psutil.Process(process.pid)
    peaks: Counter[int] = Counter()
    while process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            alive = [root, *root.children(recursive=True)]
            peaks |= Counter({one.pid: _memory_of(one) for one in alive})
            most = max(most, sum(peaks[one.pid] for one in alive))
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.05)
    return most // 2**20


def _memory_of(process: psutil.Process) -> int:
    """Bytes, of what others have too only its share; none for one that has ended meanwhile."""
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        pss: int = process.memory_full_info().pss
        return pss
    return 0


@pytest.mark.longest
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="what processes share is read from /proc")
def test_a_million_rows_from_file_to_report(importing: Importing, settings: Settings, file: Path) -> None:
    _write_million(file)
    command = ["import", str(file), "--group", GROUP, "--use-external-identifier", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "engage_etl.cli.main", *command],
        env=environment(settings),
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        peak = _peak(process)
        out = process.communicate()[0]
    assert process.returncode == 0, out
    [shown] = engage_etl(settings, "imports", "list", "--json").json
    outcomes = {name: shown[name] for name in ("rows", "created", "skipped", "rejected")}
    assert outcomes == {"rows": ROWS, "created": ROWS // 100 * 8, "skipped": ROWS // 100 * 90, "rejected": ROWS // 50}
    report = settings.report_dir(shown["import_id"])
    assert (report / "skipped.csv").stat().st_size > ROWS // 100 * 90 * 150
    assert (report / "changes.csv").stat().st_size > ROWS // 100 * 8 * 10 * 20
    assert 100 < peak < MOST


def _write_wide(file: Path, rows: int) -> int:
    """Rows of half a kilobyte that no compression makes smaller, a tenth of which create contacts; returns the bytes."""
    chance = random.Random(1)
    with file.open("w", encoding="utf-8") as writing:
        writing.write("user.Identifier,user.Email,user.LastName,user.CustomAttribute.colour\n")
        for number in range(rows):
            email = {0: f"a{number}@example.org", 1: "no address"}.get(number % 10, "")
            writing.write(f"C-{number:09d},{email},{chance.randbytes(250).hex()},red\n")
    return file.stat().st_size


def test_no_stage_needs_more_for_a_longer_file(importing: Importing, settings: Settings, file: Path) -> None:
    """What holds a file as a whole, or what becomes of its rows, needs as much more as the file is longer.

    What libraries keep of memory that was given back differs by up to 47 MiB between two files of any length.
    """
    settings = settings.model_copy(update={"chunk_rows": 1000})
    sizes, peaks = [], []
    with forking() as process:
        for rows in (20_000, 200_000):
            sizes.append(_write_wide(file, rows))
            import_id = importing.register(file)
            stages = {stage: process.run_whole(settings, import_id, (stage,)) for stage in NAMES}
            peaks.append({stage: ending.peak * 1024 for stage, ending in stages.items()})
    more = {stage: peaks[1][stage] - peaks[0][stage] for stage in NAMES}
    assert max(more.values()) < (sizes[1] - sizes[0]) * 3 / 4, more
