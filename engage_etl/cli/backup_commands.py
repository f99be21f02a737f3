"""``engage-etl db backup`` and ``db restore``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engage_etl.cli.options import AsJson
from engage_etl.cli.output import errors_as_sentences, only_results_on_stdout, print_json, say
from engage_etl.vocabulary.counting import counted

if TYPE_CHECKING:
    from engage_etl.store.backup import Backup


def backup(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="New folder that the backup is written into.")],
    as_json: AsJson = False,
) -> None:
    """Back up the embedded store with Dagster's database, while imports go on; files of imports are not in it."""
    from engage_etl.settings import load_settings
    from engage_etl.store.backup import back_up

    with errors_as_sentences(as_json=as_json):
        made = back_up(load_settings(), folder)
    if as_json:
        print_json(_facts(folder, made))
    else:
        say(f"{folder} holds the store of {made.made_at:%Y-%m-%d %H:%M:%S} UTC: {_counts(made)}.")


def restore(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder that `db backup` has written.")],
    replace: Annotated[bool, typer.Option("--replace", help="Also where the store holds data, which is lost.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the embedded store, with Dagster's database, to what a backup holds; counted before anything is replaced."""
    from engage_etl.settings import load_settings
    from engage_etl.store.restoring import restore as restore_store

    with errors_as_sentences(as_json=as_json):
        settings = load_settings()
        made = restore_store(settings, folder, replace=replace)
        with only_results_on_stdout():
            from engage_etl.triggers.instance import open_instance
            from engage_etl.triggers.runs import end_restored_runs

            with open_instance(settings) as instance:
                end_restored_runs(instance)
    if as_json:
        print_json(_facts(folder, made))
    else:
        say(f"The store is as it was on {made.made_at:%Y-%m-%d %H:%M:%S} UTC: {_counts(made)}. All rows were counted.")


def _facts(folder: Path, made: Backup) -> dict[str, Any]:
    return {
        "folder": str(folder),
        "made_at": made.made_at.isoformat(),
        "schema": made.schema_revision,
        "server": made.server,
        "bytes": made.store.bytes + made.dagster.bytes,
        "rows": {"store": made.store.rows, "dagster": made.dagster.rows},
    }


def _counts(made: Backup) -> str:
    rows = made.store.rows
    return f"{counted(rows.get('contact', 0), 'contact')}, {counted(rows.get('import_register', 0), 'import')}"
