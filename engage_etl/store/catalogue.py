"""What PostgreSQL's catalogue says about the tables of a database, for queries."""

from __future__ import annotations

from sqlalchemy import Boolean, String, column, table
from sqlalchemy.dialects.postgresql import OID

relations = table(
    "pg_class",
    column("oid", OID),
    column("relname", String),
    column("relkind", String),
    column("relispartition", Boolean),
    column("relnamespace", OID),
    schema="pg_catalog",
)
"""Tables, views, indexes. relkind: r a table, p a partitioned one; relnamespace: its schema."""

namespaces = table("pg_namespace", column("oid", OID), column("nspname", String), schema="pg_catalog")
"""Schemas."""
