"""``engage-etl contacts``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from engage_etl.cli.options import AsJson
from engage_etl.cli.output import errors_as_sentences, print_json, result_console, say, table, visible
from engage_etl.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

app = typer.Typer(no_args_is_help=True)


@app.command("show")
def show(
    identifier: Annotated[str | None, typer.Option(help="External identifier, compared exactly.")] = None,
    email: Annotated[str | None, typer.Option(help="E-mail address, compared regardless of case.")] = None,
    mobile: Annotated[str | None, typer.Option(help="Mobile number, with or without a leading +.")] = None,
    alias: Annotated[str | None, typer.Option(help="Mobile app alias.")] = None,
    contact_id: Annotated[int | None, typer.Option("--id", help="Id of the contact in the store.")] = None,
    history: Annotated[bool, typer.Option("--history", help="With every change, oldest first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the contacts found by one of identifier, address or id."""
    from engage_etl.cli.installation import store
    from engage_etl.store.contacts import find_contacts

    with errors_as_sentences(as_json=as_json):
        condition = _condition(identifier=identifier, email=email, mobile=mobile, alias=alias, contact_id=contact_id)
        with store() as opened, opened.engine.connect() as connection:
            found = find_contacts(connection, condition, history=history)
    if as_json:
        print_json(found)
    elif not found:
        say("No contact was found.")
    for contact in [] if as_json else found:
        _print_contact(contact)


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="File to write: .csv or .parquet.")],
    group: Annotated[str | None, typer.Option(help="Members of this group only.")] = None,
) -> None:
    """Write all contacts, or those of a group, to a CSV or Parquet file; the CSV can be imported again."""
    from engage_etl.cli.contacts_export import export_contacts
    from engage_etl.cli.installation import store

    with errors_as_sentences(as_json=False), store() as opened:
        number = export_contacts(opened, file, group)
    say(f"{number:,} contacts are in {file}.")


def _condition(
    *, identifier: str | None, email: str | None, mobile: str | None, alias: str | None, contact_id: int | None
) -> ColumnElement[bool]:
    from engage_etl.store.contacts import by_address, by_id, by_identifier

    addresses = {"email": email, "mobile_number": mobile, "app_alias": alias}
    wanted = [by_address(field, value) for field, value in addresses.items() if value is not None]
    wanted += [by_identifier(identifier)] if identifier is not None else []
    wanted += [by_id(contact_id)] if contact_id is not None else []
    if len(wanted) != 1:
        raise UsageError("Name exactly one of --identifier, --email, --mobile, --alias and --id.")
    return wanted[0]


def _described_membership(membership: dict[str, Any]) -> str:
    told = [f"{name}: {value}" for name, value in membership["attributes"].items()]
    told += [f"unsubscribed since {membership['unsubscribed_at']}"] if membership["unsubscribed_at"] else []
    return f"{membership['group']} ({'; '.join(told)})" if told else str(membership["group"])


def _print_contact(contact: dict[str, Any]) -> None:
    fields = {
        name: value for name, value in contact.items() if name not in ("custom", "groups", "memberships", "history")
    }
    fields |= {f"custom.{name}": value for name, value in contact["custom"].items()}
    fields["groups"] = ", ".join(map(_described_membership, contact["memberships"])) or None
    console = result_console()
    console.print(table("field", "value", rows=((name, value) for name, value in fields.items() if value is not None)))
    for change in contact.get("history", []):
        console.print()
        _print_change(console, change)
    console.print()


def _print_change(console: Console, change: dict[str, Any]) -> None:
    """One stop of the time line: when, by which import, what was before and after."""
    from engage_etl.reports.changes_file import as_text, field_order

    moment = datetime.fromisoformat(change["at"]).astimezone(UTC)
    place = (
        f"row {change['row']} of {change['file']}" if change["row"] is not None else f"{change['file']}, without a row"
    )
    by = f"automation {change['automation']}" if change["automation"] else "imported by hand"
    heading = Text.assemble("● ", (f"{moment:%Y-%m-%d %H:%M:%S} UTC", "bold"), f"  {change['outcome']}", style="cyan")
    console.print(heading)
    console.print(f"│ {visible(place)}, {by}, group {visible(change['group'] or '')}", markup=False)
    console.print(f"│ import {visible(change['import_id'])}", markup=False)
    for field, (before, after) in sorted(change["changes"].items(), key=lambda changed: field_order(changed[0])):
        shown = (visible(as_text(value)) or "(blank)" for value in (before, after))
        console.print(f"│   {visible(field)}: {' → '.join(shown)}", markup=False)
