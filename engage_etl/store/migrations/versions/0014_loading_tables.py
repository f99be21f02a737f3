"""Tables that several connections fill with the rows of one import before its plan is made (decision 0027)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TABLE_OF_IMPORT = """
CREATE FUNCTION engage_loading.table_of(import_id text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'import_' || to_hex(hashtextextended('import ' || import_id, 0))
$$
"""
"""Ids are longer than names of tables may be; two imports of one number have one lock as well, and exclude each other."""

MAKE_TABLE = """
CREATE FUNCTION engage_loading.make_table(import_id text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made text := engage_loading.table_of(import_id);
BEGIN
    EXECUTE format(
        'CREATE UNLOGGED TABLE engage_loading.%I (LIKE engage_loading.staged_row) WITH (autovacuum_enabled = false)', made
    );
    EXECUTE format('COMMENT ON TABLE engage_loading.%I IS %L', made, import_id);
    IF to_regrole('engage_app') IS NOT NULL THEN
        EXECUTE format('GRANT SELECT, INSERT ON engage_loading.%I TO engage_app', made);
    END IF;
    RETURN made;
END $$
"""
"""Runs, as the others, with the rights of the owner of the schema."""

GATHER_STATISTICS = """
CREATE FUNCTION engage_loading.gather_statistics(name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('ANALYZE engage_loading.%I', name);
END $$
"""

DROP_TABLE = """
CREATE FUNCTION engage_loading.drop_table(name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF name NOT LIKE 'import\\_%' THEN
        RAISE EXCEPTION '% is not the table of an import', name;
    END IF;
    EXECUTE format('DROP TABLE IF EXISTS engage_loading.%I', name);
END $$
"""

SET_UP_LOADING = """
CREATE FUNCTION engage_loading.set_up() RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    GRANT USAGE ON SCHEMA engage_loading TO engage_app;
    GRANT EXECUTE ON FUNCTION engage_loading.table_of(text), engage_loading.make_table(text),
        engage_loading.gather_statistics(text), engage_loading.drop_table(text) TO engage_app;
    RETURN true;
EXCEPTION
    WHEN insufficient_privilege OR undefined_object THEN
        RETURN false;
END $$
"""
"""Gives the role that imports its rights here; repeatable, and to be called after ``set_up_application``, which makes it."""

TEXTS = (
    "email", "mobile_number", "app_alias", "identifier", "first_name", "last_name", "nickname", "title", "date_of_birth",
    "zip_code", "partner_id", "country_code", "language_code", "time_zone", "email_key", "mobile_key",
)  # fmt: skip


def upgrade() -> None:
    op.execute("CREATE SCHEMA engage_loading")
    op.create_table(
        "staged_row",
        sa.Column("row", sa.BigInteger(), nullable=False),
        sa.Column("match_kind", sa.Text(collation="C"), nullable=False),
        sa.Column("match_key", sa.Text(collation="C"), nullable=False),
        *(sa.Column(name, sa.Text(collation="C")) for name in TEXTS),
        sa.Column("custom", postgresql.JSONB()),
        sa.Column("member", postgresql.JSONB()),
        sa.Column("warning", sa.Text()),
        schema="engage_loading",
        comment="always empty: what the tables of imports are made like",
    )
    for function in (TABLE_OF_IMPORT, MAKE_TABLE, GATHER_STATISTICS, DROP_TABLE, SET_UP_LOADING):
        op.execute(function)
    op.execute("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA engage_loading FROM PUBLIC")
