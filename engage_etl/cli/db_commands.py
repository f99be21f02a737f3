"""``engage-etl db``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from engage_etl.cli import backup_commands
from engage_etl.cli.options import AsJson, wrong_value
from engage_etl.cli.output import errors_as_sentences, print_json, result_console, say, table

app = typer.Typer(no_args_is_help=True)

_AT_NEXT_START = (
    "What you did not set yourself is taken up when the server starts: run `engage-etl db stop`, and the next command "
    "starts it again."
)
_ROLES_LACK = (
    "This user may not make roles or grant them. Imports work as its user; for users with fewer rights, an administrator of "
    "the server runs the statements below, then run `engage-etl db upgrade` again:"
)
_EXTERNAL = "Imports work as it is; docs/server-settings.md says what each setting is for. Set them with ALTER SYSTEM."


@app.command("upgrade")
def upgrade(as_json: AsJson = False) -> None:
    """Bring the schema of the store to the newest revision."""
    from engage_etl.settings import load_settings
    from engage_etl.store.engine import upgrade_store

    with errors_as_sentences(as_json=as_json):
        upgraded = upgrade_store(load_settings())
    if as_json:
        print_json({"schema": upgraded.revision, "lacking": upgraded.lacking})
        return
    say(f"The store has schema {upgraded.revision}.")
    if upgraded.lacking:
        say(_ROLES_LACK)
        typer.echo("\n".join(upgraded.lacking))


ServerMemory = Annotated[
    str | None,
    typer.Option(help="Memory of an external server's machine, as in 64GB: what is recommended depends on it."),
]


@app.command("status")
def status(server_memory: ServerMemory = None, as_json: AsJson = False) -> None:
    """Show where the store is, its version and schema, and which settings of the server are not as recommended."""
    from engage_etl.settings import load_settings
    from engage_etl.store.engine import server_differences, store_status

    with errors_as_sentences(as_json=as_json):
        settings = load_settings()
        memory = _as_bytes(server_memory)
        found, differences = store_status(settings), server_differences(settings, memory)
    if as_json:
        print_json(found | {"settings": [asdict(difference) for difference in differences]})
        return
    result_console().print(table("what", "value", rows=found.items()))
    if differences:
        rows = ((one.name, one.value, one.recommended, one.reason) for one in differences)
        result_console().print()
        result_console().print(table("setting of the server", "is", "recommended", "reason", rows=rows))
        say(_AT_NEXT_START if settings.database_url is None else _EXTERNAL)


@app.command("start")
def start(as_json: AsJson = False) -> None:
    """Start the embedded server; it is left running."""
    from engage_etl.settings import load_settings
    from engage_etl.store.engine import embedded_server

    with errors_as_sentences(as_json=as_json):
        cluster = embedded_server(load_settings()).ensure_running()
    if as_json:
        print_json({"running": True, "at": str(cluster.sockets)})
    else:
        say(f"The server answers at {cluster.sockets}.")


@app.command("stop")
def stop(as_json: AsJson = False) -> None:
    """Stop the embedded server, unless others are connected."""
    from engage_etl.settings import load_settings
    from engage_etl.store.engine import embedded_server

    with errors_as_sentences(as_json=as_json):
        stopped = embedded_server(load_settings()).stop()
    if as_json:
        print_json({"running": False, "stopped": stopped})
    else:
        say("The server is stopped." if stopped else "The server was not running.")


app.command("backup")(backup_commands.backup)
app.command("restore")(backup_commands.restore)


def _as_bytes(memory: str | None) -> int | None:
    """Memory as people write it.

    Raises:
        UsageError: it is no amount of memory.
    """
    from engage_etl.store.tuning import as_bytes

    if memory is None:
        return None
    found = as_bytes(memory)
    if found is None:
        raise wrong_value("--server-memory", memory, "expected an amount as in 64GB")
    return found
