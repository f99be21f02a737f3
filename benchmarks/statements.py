"""Which statements an import spends its time in, from the server's log."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from psycopg import sql

from benchmarks.server import BenchServer
from engage_etl.store.cluster import ROLE

_DURATION = re.compile(r"duration: ([\d.]+) ms  (?:execute [^:]*|statement): (.*)", re.DOTALL)
_ENTRY = re.compile(r"^(?=\d{4}-\d\d-\d\d \d\d:)", re.MULTILINE)
_SHOWN = 150


@contextmanager
def logged_statements(server: BenchServer, at_least_ms: float | None) -> Iterator[Callable[[], list[str]]]:
    """Log statements that take so long; yields what lists them, the longest first.

    at_least_ms: None logs nothing.
    """
    if at_least_ms is None:
        yield list
        return
    begin = server.cluster.log.stat().st_size
    with server.connect("postgres") as connection:
        setting = sql.SQL("ALTER ROLE {} SET log_min_duration_statement = {}")
        connection.execute(setting.format(sql.Identifier(ROLE), sql.Literal(at_least_ms)))
    try:
        yield lambda: longest_statements(server.cluster.log.read_bytes()[begin:].decode(errors="replace"))
    finally:
        with server.connect("postgres") as connection:
            reset = sql.SQL("ALTER ROLE {} RESET log_min_duration_statement")
            connection.execute(reset.format(sql.Identifier(ROLE)))


def longest_statements(log: str) -> list[str]:
    """The statements in a server's log, with the seconds that each took."""
    found = []
    for entry in _ENTRY.split(log):
        if match := _DURATION.search(entry):
            found.append((float(match[1]) / 1000, " ".join(match[2].split())[:_SHOWN]))
    return [f"  {seconds:8.2f} s  {statement}" for seconds, statement in sorted(found, reverse=True)]
