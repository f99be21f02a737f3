"""``engage-etl demo``, ``up`` and ``env``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from engage_etl.cli.options import AsJson
from engage_etl.cli.output import errors_as_sentences, print_json, say


def demo(
    folder: Annotated[Path, typer.Option(help="Folder of the demo; made anew each time.")] = Path(".demo"),
) -> None:
    """Set up a store in a folder of its own, import sample files and show what changed."""
    with errors_as_sentences(as_json=False):
        from engage_etl.cli.demo import run_demo

        run_demo(folder)


def up(
    host: Annotated[str, typer.Option(help="Address that the web UI listens on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the web UI.")] = 3000,
    viewers_port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="Port of a second web UI, in which nothing can be started, stopped or changed."
        ),
    ] = None,
) -> None:
    """Start the web UI and the daemon that imports dropped files; Ctrl-C ends both."""
    with errors_as_sentences(as_json=False):
        from engage_etl.settings import load_settings
        from engage_etl.triggers.service import WebAddress, run_service

        code = run_service(load_settings(), WebAddress(host, port, viewers_port), say=say)
    raise typer.Exit(code)


def env(as_json: AsJson = False) -> None:
    """Print the variables with which plain dagster, dbt and psql work on this installation."""
    with errors_as_sentences(as_json=as_json):
        from engage_etl.settings import load_settings
        from engage_etl.store.engine import building_facts, open_store
        from engage_etl.triggers.instance import environment, prepare_instance

        settings = load_settings()
        open_store(settings).dispose()
        prepare_instance(settings)
        variables = environment(settings) | building_facts(settings)
    if as_json:
        print_json(variables)
        return
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")
