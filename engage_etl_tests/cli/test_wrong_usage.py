"""Wrong calls: one sentence, or one object under ``--json``, exit code 2, and nothing done."""

from __future__ import annotations

import sys

import pytest
import typer

from engage_etl.cli import main
from engage_etl.settings import Settings
from engage_etl.store.engine import Store
from engage_etl_tests.cli.commands import engage_etl

IMPORT = ("import", __file__, "--group", "g")
WRONG = [
    ((*IMPORT, "--file-type", "XMLL"), ("--file-type 'XMLL'", "csv or xml or text or detect", "Did you mean xml?")),
    ((*IMPORT, "--duplicates", "lst"), ("--duplicates 'lst'", "last or reject", "Did you mean last?")),
    ((*IMPORT, "--import-mode", "replce"), ("--import-mode 'replce'", "Did you mean replace?")),
    ((*IMPORT, "--mangled-identifiers", "acept"), ("'acept'", "reject or accept", "Did you mean accept?")),
    ((*IMPORT, "--character-set", "ISO8859-15x"), ("'ISO8859-15x'", "Did you mean ISO-8859-15?")),
    ((*IMPORT, "--max-rejected", "101%"), ("--max-rejected '101%'", "a share like 5%")),
    (("import", __file__, "--group", ""), ("--group ''", "expected a name")),
    (("import", __file__), ("'--group'", "engage-etl import --help")),
    (("import", "/dev/null", "--group", "g"), ("/dev/null is no regular file",)),
    ((*IMPORT, "--use-external-identifer"), ("--use-external-identifier", "engage-etl import --help")),
    (("impotr",), ("'impotr'", "Did you mean 'import'")),
    (("imports", "rows", "x", "--outcome", "rejectd"), ("'rejectd'", "Did you mean rejected?")),
    (("contacts", "show", "--id", "abc"), ("'--id'", "integer")),
    (("contacts", "show", "--identifier", "\udcff"), ("no text in UTF-8",)),
]


@pytest.mark.parametrize(("arguments", "parts"), WRONG, ids=lambda value: value[-1].encode("ascii", "replace").decode())
def test_a_wrong_call_is_one_sentence(settings: Settings, arguments: tuple[str, ...], parts: tuple[str, ...]) -> None:
    ended = engage_etl(settings, *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("Error: ") and ended.err.count("\n") == 1
    assert [part for part in parts if part not in ended.err] == []


def test_a_wrong_call_is_an_object_under_json(store: Store, settings: Settings) -> None:
    for arguments in (("import", __file__), (*IMPORT, "--nonsense"), ("imports", "rows", "x", "--outcome", "y")):
        ended = engage_etl(settings, *arguments, "--json")
        assert (ended.code, ended.err) == (2, "")
        assert list(ended.json["error"]) == ["code", "message"] and ended.json["error"]["code"] == "usage_error"


def test_a_question_that_nobody_answers_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def asks(*_: object, **__: object) -> None:
        raise typer.Abort

    monkeypatch.setattr(main, "app", asks)
    monkeypatch.setattr(sys, "argv", ["engage-etl", "contacts", "forget", "--id", "1"])
    with pytest.raises(SystemExit) as ended:
        main.run()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "Error: The question was not answered, and nothing was done.\n"


def test_a_store_that_does_not_answer_is_a_sentence(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"database_url": "postgresql://nobody@127.0.0.1:1/nothing"})
    ended = engage_etl(nowhere, "groups", "list")
    assert ended.code == 1 and "127.0.0.1:1/nothing" in ended.err and "Traceback" not in ended.err
    assert engage_etl(nowhere, "groups", "list", "--json").json["error"]["code"] == "store_unavailable"


def test_an_error_that_nobody_foresaw_is_a_sentence_with_a_private_log(store: Store, settings: Settings) -> None:
    with store.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE engage.membership RENAME TO gone")
    ended = engage_etl(settings, "groups", "list")
    (log,) = (settings.root / "log").iterdir()
    assert (ended.code, ended.out) == (1, "") and str(log) in ended.err and "Traceback" not in ended.err
    assert "Traceback" in log.read_text() and log.stat().st_mode & 0o777 == 0o600
    assert engage_etl(settings, "groups", "list", "--json").json["error"]["code"] == "unforeseen"
