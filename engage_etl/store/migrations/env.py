"""Alembic runs the migrations of the store on the connection that the program hands over."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

from engage_etl.store.partitions import is_partition
from engage_etl.store.tables import METADATA, SCHEMA

connection = context.config.attributes["connection"]
connection.execute(text("CREATE SCHEMA IF NOT EXISTS engage"))
context.configure(
    connection=connection,
    target_metadata=METADATA,
    version_table_schema=SCHEMA,
    include_schemas=True,
    include_name=lambda name, kind, _: name == SCHEMA if kind == "schema" else not is_partition(name),
)
with context.begin_transaction():
    context.run_migrations()
