"""How ``engage-etl contacts forget`` finds the one, asks, and says what was erased."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer
from sqlalchemy import ColumnElement, select

from engage_etl.cli.account import stated_name
from engage_etl.cli.installation import store
from engage_etl.cli.output import only_results_on_stdout, print_json, result_console, say, table
from engage_etl.errors import UsageError
from engage_etl.settings import load_settings
from engage_etl.store.tables import contact

if TYPE_CHECKING:
    from engage_etl.erasure.erasing import Forgotten

_NAMED = 20


def forget_contact(
    condition: ColumnElement[bool],
    contact_id: int | None,
    *,
    by: str | None,
    end_imports: bool,
    dry_run: bool,
    is_sure: bool,
    as_json: bool,
) -> None:
    """Erase the one contact that meets a condition, after asking; prints what was erased.

    contact_id: where it was named by it, and may be erased half already.

    Raises:
        UsageError: none or several meet it, or nobody is there to be asked.
    """
    from engage_etl.triggers.retention import forget_by_hand

    found = contact_id if contact_id is not None else _the_one(condition)
    if not dry_run and not is_sure:
        _ask(found, as_json=as_json)
    with only_results_on_stdout():
        forgotten = forget_by_hand(load_settings(), found, by=stated_name(by), end_imports=end_imports, dry_run=dry_run)
    if as_json:
        print_json(_as_object(forgotten, dry_run=dry_run))
    else:
        _print(forgotten, dry_run=dry_run)


def _the_one(condition: ColumnElement[bool]) -> int:
    with store() as opened, opened.engine.connect() as connection:
        ids: list[int] = list(
            connection.scalars(select(contact.c.contact_id).where(condition).order_by(contact.c.contact_id))
        )
    if not ids:
        raise UsageError(
            "No contact was found; nobody was erased. One that a revert has removed is named by --id, as its history does."
        )
    if len(ids) > 1:
        named = ", ".join(map(str, ids[:_NAMED])) + (" and more" if len(ids) > _NAMED else "")
        raise UsageError(f"Several contacts were found (ids {named}), and nobody was erased; name one with --id.")
    return ids[0]


def _ask(contact_id: int, *, as_json: bool) -> None:
    if as_json or not sys.stdin.isatty():
        raise UsageError("What is erased cannot be brought back. Add --yes to do it, or --dry-run to see what it is.")
    if not typer.confirm(f"Erase contact {contact_id}? It cannot be brought back.", err=True):
        raise UsageError("Nobody was erased.")


def _as_object(forgotten: Forgotten, *, dry_run: bool) -> dict[str, Any]:
    return {
        "contact_id": forgotten.contact_id,
        "dry_run": dry_run,
        "erasure": forgotten.erasure.erasure_id if forgotten.erasure is not None else None,
        "erased": forgotten.erased,
        "imports": forgotten.imports,
        "removed_files": forgotten.removed,
        "ended_imports": forgotten.ended,
    }


def _print(forgotten: Forgotten, *, dry_run: bool) -> None:
    rows = ((name, f"{number:,}") for name, number in sorted(forgotten.erased.items()) if number)
    result_console().print(table("what", "number", rows=rows))
    if forgotten.removed:
        result_console().print()
        verb = "would be removed" if dry_run else "was removed"
        result_console().print(table(f"{verb} as a whole", rows=((path,) for path in forgotten.removed)))
    if forgotten.ended:
        verb = "would have to be ended (--end-imports)" if dry_run else "were ended"
        say(f"Imports that {verb}: {', '.join(forgotten.ended)}.")
    if dry_run:
        say("Nothing was erased; leave out --dry-run to do it.")
    elif forgotten.erasure is not None:
        say(f"Contact {forgotten.contact_id} is erased (erasure {forgotten.erasure.erasure_id}).")
