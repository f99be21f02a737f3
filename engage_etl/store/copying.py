"""Rows between files and the store by COPY, in a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Select, Table


def copy_into(connection: Connection, table: Table, blocks: Iterator[bytes]) -> None:
    """Fill a table from blocks of CSV with its columns in their order; nulls stand unquoted, texts quoted."""
    names = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(_name(table), names)
    with _driver(connection).cursor() as cursor, cursor.copy(statement) as copy:
        for block in blocks:
            copy.write(block)


def copy_out(connection: Connection, query: Select[Any]) -> Iterator[bytes]:
    """The result of a query as CSV in UTF-8, without a header, lines ended by a line feed; nulls are nothing."""
    compiled = query.compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
    statement = f"COPY ({compiled}) TO STDOUT (FORMAT csv, ENCODING 'UTF8')"
    # A COPY takes no parameters of the protocol: the driver puts them in, quoted as the server says.
    with psycopg.ClientCursor(_driver(connection)) as cursor, cursor.copy(statement, compiled.params) as copy:
        for block in copy:
            yield bytes(block)


def _name(table: Table) -> sql.Identifier:
    return sql.Identifier(table.name) if table.schema is None else sql.Identifier(table.schema, table.name)


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    driver_connection: psycopg.Connection[Any] | None = connection.connection.driver_connection
    assert driver_connection is not None
    return driver_connection
