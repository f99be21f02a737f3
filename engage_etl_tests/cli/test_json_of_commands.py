"""Every command that shows something has ``--json``: one document and nothing else, errors included."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.main

from engage_etl.cli.main import app, run
from engage_etl.store.engine import open_store
from engage_etl_tests.cli.commands import environment
from engage_etl_tests.conftest import own_store
from engage_etl_tests.importing import GROUP, Importing
from engage_etl_tests.own_dagster import own_dagster

WITHOUT = {
    "demo": "a tour for people, made of what other commands show",
    "up": "runs until it is ended, and results in nothing",
}
ASKING_NO_SERVER = {"notifications test", "automations check", "db start", "db stop", "db backup", "db restore"}
"""Commands that ask no server, or one of their own."""

SEED = "user.Email,user.Identifier\nann@x.org,1\nbob@x.org,2\n"
AUTOMATIONS = "automations:\n  - {name: crm, group: Newsletter, source: drop/crm}\n"


def found_commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """All commands by their words, as in ``imports list``."""
    if getattr(command, "commands", None) is None:
        yield " ".join(words), command
        return
    for name, part in command.commands.items():
        yield from found_commands(part, (*words, name))


COMMANDS = dict(found_commands(typer.main.get_command(app)))
SHOWING = sorted(COMMANDS.keys() - WITHOUT.keys())


@dataclass(frozen=True)
class Installation:
    """Something for every command to show. waiting: ids of imports that wait, one for each that decides."""

    environment: dict[str, str]
    folder: Path
    applied: str
    waiting: tuple[str, ...]
    contact: int


@pytest.fixture(scope="module")
def installation(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("json")
    with own_store(server, folder / "data") as plain, own_dagster(plain) as settings, open_store(settings) as store:
        importing = Importing.prepare(store, folder / "files")
        seeded = importing.seed(SEED)
        applied = importing("user.Identifier,user.Email\n1,anna@x.org\n", name="applied.csv")
        changed = "user.Identifier,user.Email\n2,bobby@x.org\n"
        waiting = [importing.plan(changed, name=f"{name}.csv", approval="required") for name in ("a", "r", "p")]
        settings.automations_file.write_text(AUTOMATIONS)
        (settings.drop_dir / "crm").mkdir(parents=True)
        (folder / "more.csv").write_text("user.Identifier,user.Email\n3,cleo@x.org\n")
        ids = tuple(entry.import_id for entry in waiting)
        contact = importing.contacts()[0]["contact_id"]
        assert seeded.created == 2
        yield Installation(environment(settings), folder, applied.import_id, ids, contact)


Calls = Callable[[Installation], tuple[list[object], int]]
CALLS: dict[str, Calls] = {
    "import": lambda the: ([the.folder / "more.csv", "--group", GROUP, "--use-external-identifier"], 0),
    "env": lambda the: ([], 0),
    "imports list": lambda the: ([], 0),
    "imports show": lambda the: ([the.applied], 0),
    "imports diff": lambda the: ([the.applied, the.waiting[0]], 0),
    "imports report": lambda the: ([the.applied], 0),
    "imports rows": lambda the: ([the.applied], 0),
    "imports approve": lambda the: ([the.waiting[0]], 0),
    "imports reject": lambda the: ([the.waiting[1], "--because", "x"], 0),
    "imports plan": lambda the: ([the.waiting[2]], 0),
    "imports revert": lambda the: ([the.applied, "--dry-run"], 0),
    "contacts show": lambda the: (["--identifier", "1", "--history"], 0),
    "contacts export": lambda the: ([the.folder / "all.csv"], 0),
    "contacts forget": lambda the: (["--id", the.contact, "--dry-run"], 0),
    "groups list": lambda the: ([], 0),
    "groups create": lambda the: (["Others"], 0),
    "notifications test": lambda the: ([], 2),  # nobody is to be told
    "automations check": lambda the: ([], 0),
    "automations list": lambda the: ([], 0),
    "automations run": lambda the: (["crm"], 0),
    "retention run": lambda the: (["--dry-run"], 0),
    "db upgrade": lambda the: ([], 0),
    "db status": lambda the: ([], 0),
    "db start": lambda the: ([], 2),  # the server is external
    "db stop": lambda the: ([], 2),
    "db backup": lambda the: ([the.folder / "backup"], 2),
    "db restore": lambda the: ([the.folder / "backup"], 2),
}
"""How each command is called so that it has something to show, and with which exit code it ends."""


@pytest.fixture
def call(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Calls the program in this process; returns exit code and standard output."""
    for name, value in installation.environment.items():
        monkeypatch.setenv(name, value)

    def called(words: str, *arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["engage-etl", *words.split(), *map(str, arguments), "--json"])
        with pytest.raises(SystemExit) as ended:
            run()
        assert isinstance(ended.value.code, int)
        return ended.value.code, capfd.readouterr().out

    return called


def demand_error(out: str) -> None:
    document = json.loads(out)
    assert list(document) == ["error"] and list(document["error"]) == ["code", "message"]
    assert all(document["error"].values())


def test_every_command_is_known_here() -> None:
    assert sorted(CALLS) == SHOWING
    assert COMMANDS.keys() >= WITHOUT.keys()


@pytest.mark.parametrize("words", SHOWING)
def test_a_command_that_shows_something_has_the_option(words: str) -> None:
    assert "--json" in {option for parameter in COMMANDS[words].params for option in parameter.opts}


@pytest.mark.parametrize("words", SHOWING)
def test_it_prints_one_document_and_nothing_else(
    installation: Installation, call: Callable[..., tuple[int, str]], words: str
) -> None:
    arguments, expected = CALLS[words](installation)
    code, out = call(words, *arguments)
    assert code == expected, out
    assert isinstance(json.loads(out), dict | list)
    if code == 2:
        demand_error(out)


@pytest.mark.parametrize("words", SHOWING)
def test_a_wrong_call_is_an_error_in_the_document(call: Callable[..., tuple[int, str]], words: str) -> None:
    code, out = call(words, "--nonsense")
    assert code == 2
    demand_error(out)


@pytest.mark.parametrize("words", sorted(set(SHOWING) - ASKING_NO_SERVER))
def test_a_server_that_does_not_answer_is_one_too(
    call: Callable[..., tuple[int, str]], installation: Installation, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    arguments, _ = CALLS[words](installation)
    monkeypatch.setenv("ENGAGE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    code, out = call(words, *arguments)
    assert code == 1
    demand_error(out)
