"""The import of a small file takes hardly longer than to load what it needs; so nothing else may be loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engage_etl.settings import Settings
from engage_etl_tests.cli.commands import environment
from engage_etl_tests.importing import GROUP, Importing

pytestmark = pytest.mark.scenario

NOT_NEEDED = {
    "apprise",
    "charset_normalizer",
    "dagster_dbt",
    "dagster_graphql",
    "dagster_webserver",
    "dbt",
    "dns",
    "email_validator",
    "engage_etl.definitions",
    "engage_etl.marts",
    "engage_etl.triggers.arrivals",
    "engage_etl.triggers.run_server",
    "engage_etl.triggers.service",
    "grpc",
    "lxml",
    "matplotlib",
    "phonenumbers",
    "pyarrow.dataset",
    "requests",
}
PROGRAM = """
import gc, json, sys
from engage_etl.cli import main
sys.argv = ["engage-etl", "import", *sys.argv[1:], "--json"]
try:
    main.run()
except SystemExit as ended:
    print(json.dumps([ended.code, gc.get_freeze_count(), sorted(sys.modules)]), file=sys.stderr)
"""


def imported(settings: Settings, file: Path, content: str, *options: str) -> Any:
    """Exit code, objects that the garbage collector leaves out, and modules, after an import."""
    file.write_text(content)
    command = [sys.executable, "-c", PROGRAM, str(file), "--group", GROUP, *options]
    ended = subprocess.run(command, env=environment(settings), capture_output=True, text=True, check=True)
    return json.loads(ended.stderr.splitlines()[-1])


def test_a_csv_file_in_utf8_needs_no_library_for_the_unusual(
    importing: Importing, settings: Settings, tmp_path: Path
) -> None:
    content = "user.Email,user.MobileNumber,user.ISOCountryCode\nann@example.org,4915112345,DE\n"
    code, left_out, modules = imported(settings, tmp_path / "contacts.csv", content)
    assert code == 0
    assert importing.column("email") == [("ann@example.org",)]
    assert NOT_NEEDED & set(modules) == set()
    assert left_out > 100_000


def test_what_is_unusual_is_loaded_when_it_comes_up(importing: Importing, settings: Settings, tmp_path: Path) -> None:
    content = "<userdata><list><user><email>j\u00fcrgen@example.org</email></user></list></userdata>"
    code, _, modules = imported(settings, tmp_path / "contacts.xml", content)
    assert code == 0
    assert NOT_NEEDED & set(modules) == {"lxml", "email_validator"}
