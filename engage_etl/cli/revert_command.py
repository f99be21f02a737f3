"""``engage-etl imports revert``."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engage_etl.cli.options import AsJson
from engage_etl.cli.output import (
    errors_as_sentences,
    only_results_on_stdout,
    print_json_with_list,
    result_console,
    say,
    table,
    visible,
)
from engage_etl.errors import EngageError

if TYPE_CHECKING:
    from engage_etl.applied_updates.revert import Reverted
    from engage_etl.store.engine import Store
    from engage_etl.store.imports import Import
    from engage_etl.triggers.revert_job import Broken

_SENTENCES = 5


def revert(
    import_id: Annotated[str, typer.Argument(metavar="ID", help="Id of an import that is applied, or of a revert.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be taken back, and change nothing.")
    ] = False,
    by: Annotated[str | None, typer.Option(help="Who wants it; is kept with the revert.")] = None,
    as_json: AsJson = False,
) -> None:
    """Take back what an import did: values that are still as it left them, its new contacts, its memberships."""
    with errors_as_sentences(as_json=as_json):
        from engage_etl.loading import quick_loading

        with quick_loading():
            from engage_etl.applied_updates.revert import find_revert, previewed_revert
            from engage_etl.cli.installation import store
            from engage_etl.store.imports import find_import
            from engage_etl.vocabulary.outcomes import Status

        with store() as opened:
            with opened.engine.connect() as connection:
                entry = find_import(connection, import_id)
                done = find_revert(connection, entry) if entry.status is Status.REVERTED else None
            if done is not None:
                say(f"Import {import_id} is reverted already, by {done.import_id}; nothing was changed.")
            elif dry_run:
                with previewed_revert(opened, import_id) as (counts, details):
                    _show(import_id, None, counts, details, as_json=as_json)
                return
            recorded = done if done is not None and dry_run else _run(opened, entry, by)
            _show_recorded(opened, import_id, recorded, as_json=as_json)


def _run(store: Store, entry: Import, by: str | None) -> Import:
    """Revert as a Dagster run; returns the register's entry of the revert. What is done already at most lacks its report.

    Raises:
        EngageError: it was refused, or broke off, and nothing was changed.
    """
    from engage_etl.applied_updates.revert import demand_revertible, find_revert
    from engage_etl.stage_run import revert_and_finish
    from engage_etl.store.imports import find_import
    from engage_etl.triggers.revert_job import run_revert
    from engage_etl.vocabulary.outcomes import Status

    if entry.status is Status.REVERTED:
        return revert_and_finish(store, entry.import_id)
    with store.engine.connect() as connection:
        demand_revertible(connection, entry)
    with only_results_on_stdout():
        broken = run_revert(store.settings, entry, by)
    with store.engine.connect() as connection:
        entry = find_import(connection, entry.import_id)
        if broken is None:
            return find_revert(connection, entry)
        problem = _sentence(store, broken)
        if entry.status is not Status.REVERTED:
            raise EngageError(problem)
        say(f"Warning: {problem}")
        return find_revert(connection, entry)


def _sentence(store: Store, broken: Broken) -> str:
    if broken.sentence is not None:
        return broken.sentence
    from engage_etl.cli.details import keep_details

    file = keep_details(store.settings, broken.details)
    return f"Something unforeseen ended the revert. The details are in {file}; please report them, then run it again."


def _show_recorded(store: Store, import_id: str, entry: Import, *, as_json: bool) -> None:
    from engage_etl.applied_updates.revert import Reverted, revert_details

    with store.engine.connect() as connection:
        details = revert_details(connection, entry.import_id)
        _show(import_id, entry.import_id, Reverted.of(entry), details, as_json=as_json)
    if not as_json and entry.report:
        result_console().print(
            f"Report: {store.kept.shown(store.kept.root / entry.report)}", markup=False, soft_wrap=True
        )


def _show(
    import_id: str, revert_id: str | None, counts: Reverted, details: Iterator[dict[str, Any]], *, as_json: bool
) -> None:
    """Print what was taken back, or would be. revert_id: of the revert, None: nothing was changed."""
    numbers = {"restored": counts.restored, "kept": counts.kept, "failed": counts.failed}
    if as_json:
        print_json_with_list({"import_id": import_id, "revert_id": revert_id, **numbers}, "details", details)
        return
    console = result_console()
    heading = f"{import_id}: reverted  ({revert_id})" if revert_id else f"{import_id}: would be reverted"
    console.print(visible(heading), markup=False, soft_wrap=True)
    console.print(table("changes", *numbers, rows=[[f"{n:,}" for n in (sum(numbers.values()), *numbers.values())]]))
    for detail in islice(details, _SENTENCES):
        console.print(f"- {visible(detail['message'])}", markup=False)
    more = counts.kept + counts.failed - _SENTENCES
    if more > 0:
        where = "in not_restored.csv of the report" if revert_id else "with --json"
        console.print(f"  … and {more:,} more, {where}")
