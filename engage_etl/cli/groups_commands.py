"""``engage-etl groups``."""

from __future__ import annotations

from typing import Annotated

import typer

from engage_etl.cli.options import AsJson
from engage_etl.cli.output import errors_as_sentences, print_json, result_console, say, table

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List the groups with their numbers of members."""
    from engage_etl.cli.installation import store_to_look_at
    from engage_etl.store.groups import list_groups

    with errors_as_sentences(as_json=as_json), store_to_look_at() as opened, opened.engine.connect() as connection:
        groups = list_groups(connection)
    if as_json:
        print_json([{"name": group.name, "members": group.members} for group in groups])
    elif groups:
        result_console().print(table("group", "members", rows=((group.name, f"{group.members:,}") for group in groups)))
    else:
        say("There are no groups yet; create one with `engage-etl groups create NAME`.")


@app.command("create")
def create(name: Annotated[str, typer.Argument(help="Name of the new group.")], as_json: AsJson = False) -> None:
    """Create an empty group."""
    from engage_etl.cli.installation import store
    from engage_etl.store.groups import create_group

    with errors_as_sentences(as_json=as_json), store() as opened, opened.engine.begin() as connection:
        created = create_group(connection, name)
    if as_json:
        print_json({"name": created, "members": 0})
    else:
        say(f"Created the group {created!r}.")
