"""``engage-etl retention``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from engage_etl.cli.options import AsJson
from engage_etl.cli.output import errors_as_sentences, only_results_on_stdout, print_json, result_console, say, table

if TYPE_CHECKING:
    from engage_etl.retention.retention import KindResult

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _retention() -> None:
    """What is removed of old imports, and when."""


@app.command("run")
def run(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing, and show what would be.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what is older than the settings allow, as the nightly job does."""
    from engage_etl.settings import load_settings
    from engage_etl.triggers.retention import retention_by_hand

    with errors_as_sentences(as_json=as_json):
        with only_results_on_stdout():
            results: list[KindResult] = retention_by_hand(load_settings(), dry_run=dry_run)
        if as_json:
            print_json({"dry_run": dry_run, "removed": [result.as_object() for result in results]})
        else:
            _print_results(results, dry_run=dry_run)


def _print_results(results: list[KindResult], *, dry_run: bool) -> None:
    rows = (
        (
            result.kind,
            f"{result.setting}={'none' if result.days is None else result.days}",
            *(f"{number:,}" for number in (result.imports, result.files, result.bytes, result.rows)),
            ", ".join(result.months),
        )
        for result in results
    )
    result_console().print(table("kind", "kept", "imports", "files", "bytes", "rows or runs", "months", rows=rows))
    for sentence in (sentence for result in results for sentence in result.left):
        say(sentence)
    if dry_run:
        say("Nothing was removed; leave out --dry-run to do it.")
