"""Texts are printed as they are: no markup, no commands to the terminal, in whatever encoding it has."""

from __future__ import annotations

import subprocess
import sys

from engage_etl.cli.output import visible
from engage_etl.settings import Settings
from engage_etl.store.engine import Store
from engage_etl_tests.cli.commands import engage_etl, environment
from engage_etl_tests.importing import Importing

ODD = ("[/]closing", "[bold]name", ":cat:")


def test_names_are_no_markup(store: Store, settings: Settings) -> None:
    for name in ODD:
        assert name in engage_etl(settings, "groups", "create", name).err
    ended = engage_etl(settings, "groups", "list")
    assert ended.code == 0
    assert [name for name in ODD if name not in ended.out] == []
    assert {group["name"] for group in engage_etl(settings, "groups", "list", "--json").json} == set(ODD)


def test_values_of_contacts_are_no_markup(importing: Importing, settings: Settings) -> None:
    importing.seed("user.Email,user.FirstName,user.CustomAttribute['a b']\nann@x.org,[/],[red]\n")
    ended = engage_etl(settings, "contacts", "show", "--email", "ann@x.org", "--history")
    assert ended.code == 0 and "[/]" in ended.out and "[red]" in ended.out


def test_a_terminal_that_lacks_letters_gets_their_codes(importing: Importing, settings: Settings) -> None:
    importing.seed("user.Email,user.FirstName\nzoe@x.org,Zoë→\n")
    shown = [_in_latin_1(settings, *option) for option in ((), ("--json",))]
    assert "Zoë\\u2192".encode("latin-1") in shown[0]
    assert b'"Zo\\u00eb\\u2192"' in shown[1]


def test_control_characters_are_spelled_out_and_others_stay() -> None:
    assert visible("a\tb\nc\u202ed\udcff") == "a\\tb\\nc\\u202ed\\udcff"
    assert visible("Zoë\u00a0N\u200cM 😀") == "Zoë\u00a0N\u200cM 😀"


def _in_latin_1(settings: Settings, *options: str) -> bytes:
    return subprocess.run(
        [sys.executable, "-m", "engage_etl.cli.main", "contacts", "show", "--email", "zoe@x.org", *options],
        env=environment(settings) | {"PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=True,
    ).stdout
