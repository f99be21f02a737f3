"""Databases that are filled once and copied before each run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from psycopg import sql

from benchmarks.server import BenchServer, fingerprint

_UNFINISHED = "unfinished"


def template_database(
    server: BenchServer, kind: str, contacts: int, *, made_from: tuple[Path | str, ...], fill: Callable[[str], None]
) -> str:
    """The name of a filled database; filled now unless it is there already.

    kind: first part of its name; made_from: files of the program, or others, that it depends on: what an earlier state
    of them has filled is dropped; fill: fills the empty database of that name.
    """
    made_by = fingerprint(tuple(map(str, made_from)))
    name = f"{kind}_{contacts}_{made_by}"
    for database in server.databases():
        if database.startswith(f"{kind}_") and not database.endswith(made_by):
            server.drop(database)
    if name not in server.databases():
        server.drop(_UNFINISHED)
        _run(server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_UNFINISHED)))
        fill(_UNFINISHED)
        renaming = sql.SQL("ALTER DATABASE {} RENAME TO {}")
        _run(server, renaming.format(sql.Identifier(_UNFINISHED), sql.Identifier(name)))
    return name


def _run(server: BenchServer, statement: sql.Composed) -> None:
    with server.connect("postgres") as connection:
        connection.execute(statement)
