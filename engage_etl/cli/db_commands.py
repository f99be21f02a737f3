"""``engage-etl db``."""

from __future__ import annotations

import typer

from engage_etl.cli.options import AsJson
from engage_etl.cli.output import errors_as_sentences, print_json, result_console, say, table

app = typer.Typer(no_args_is_help=True)


@app.command("upgrade")
def upgrade() -> None:
    """Bring the schema of the store to the newest revision."""
    from engage_etl.settings import load_settings
    from engage_etl.store.engine import upgrade_store

    with errors_as_sentences(as_json=False):
        revision = upgrade_store(load_settings())
    say(f"The store has schema {revision}.")


@app.command("status")
def status(as_json: AsJson = False) -> None:
    """Show where the store is, its server's version and its schema's revision."""
    from engage_etl.settings import load_settings
    from engage_etl.store.engine import store_status

    with errors_as_sentences(as_json=as_json):
        found = store_status(load_settings())
    if as_json:
        print_json(found)
    else:
        result_console().print(table("what", "value", rows=found.items()))


@app.command("start")
def start() -> None:
    """Start the embedded server; it is left running."""
    from engage_etl.settings import load_settings
    from engage_etl.store.engine import embedded_server

    with errors_as_sentences(as_json=False):
        cluster = embedded_server(load_settings()).ensure_running()
    say(f"The server answers at {cluster.sockets}.")


@app.command("stop")
def stop() -> None:
    """Stop the embedded server, unless others are connected."""
    from engage_etl.settings import load_settings
    from engage_etl.store.engine import embedded_server

    with errors_as_sentences(as_json=False):
        stopped = embedded_server(load_settings()).stop()
    say("The server is stopped." if stopped else "The server was not running.")
