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
from engage_etl.vocabulary.counting import counted

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

app = typer.Typer(no_args_is_help=True)


Identifier = Annotated[str | None, typer.Option(help="External identifier, compared exactly.")]
Email = Annotated[str | None, typer.Option(help="E-mail address, compared regardless of case.")]
Mobile = Annotated[str | None, typer.Option(help="Mobile number, with or without a leading +.")]
Alias = Annotated[str | None, typer.Option(help="Mobile app alias.")]
ContactId = Annotated[int | None, typer.Option("--id", help="Id of the contact in the store.")]


@app.command("show")
def show(
    identifier: Identifier = None,
    email: Email = None,
    mobile: Mobile = None,
    alias: Alias = None,
    contact_id: ContactId = None,
    history: Annotated[bool, typer.Option("--history", help="With every change, oldest first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the contacts found by one of identifier, address or id."""
    from engage_etl.cli.installation import store_to_look_at
    from engage_etl.store.contacts import find_contacts

    with errors_as_sentences(as_json=as_json):
        condition = _condition(identifier=identifier, email=email, mobile=mobile, alias=alias, contact_id=contact_id)
        with store_to_look_at() as opened, opened.engine.connect() as connection:
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
    as_json: AsJson = False,
) -> None:
    """Write all contacts, or those of a group, to a CSV or Parquet file; the CSV can be imported again."""
    from engage_etl.cli.contacts_export import export_contacts
    from engage_etl.cli.installation import store

    with errors_as_sentences(as_json=as_json), store() as opened:
        number = export_contacts(opened, file, group)
    if as_json:
        print_json({"file": str(file), "contacts": number})
    else:
        say(f"{counted(number, 'contact')} {'is' if number == 1 else 'are'} in {file}.")


@app.command("forget")
def forget(  # noqa: PLR0913, PLR0917 - one parameter per option
    identifier: Identifier = None,
    email: Email = None,
    mobile: Mobile = None,
    alias: Alias = None,
    contact_id: ContactId = None,
    by: Annotated[str | None, typer.Option(help="Who asks for it; the name of this account, unless said.")] = None,
    end_imports: Annotated[
        bool, typer.Option("--end-imports", help="End imports with this person that can still be applied.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Erase nothing, and show what would be.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Erase one person from everything that is kept; only a record that it was done stays."""
    from engage_etl.cli.forgetting import forget_contact

    with errors_as_sentences(as_json=as_json):
        condition = _condition(identifier=identifier, email=email, mobile=mobile, alias=alias, contact_id=contact_id)
        forget_contact(
            condition, contact_id, by=by, end_imports=end_imports, dry_run=dry_run, is_sure=yes, as_json=as_json
        )


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
    heading = Text.assemble("● ", (f"{moment:%Y-%m-%d %H:%M:%S} UTC", "bold"), f"  {change['outcome']}", style="cyan")
    console.print(heading)
    console.print(
        f"│ {visible(place)}, {visible(_cause(change))}, group {visible(change['group'] or '')}", markup=False
    )
    approved = f", approved by {visible(change['approved_by'])}" if change["approved_by"] else ""
    console.print(f"│ import {visible(change['import_id'])}{approved}", markup=False)
    for field, (before, after) in sorted(change["changes"].items(), key=lambda changed: field_order(changed[0])):
        shown = (visible(as_text(value)) or "(blank)" for value in (before, after))
        console.print(f"│   {visible(field)}: {' → '.join(shown)}", markup=False)


def _cause(change: dict[str, Any]) -> str:
    """Who or what made the change: an automation, a person, or the revert of an import."""
    if change["reverts"]:
        by = f" by {change['reverted_by']}" if change["reverted_by"] else ""
        return f"revert{by} of {change['reverts']}"
    if change["automation"]:
        return f"automation {change['automation']}"
    return f"imported by {change['started_by']}" if change["started_by"] else "imported by hand"
