"""The role that imports and owns nothing, and statistics that it may have gathered (decision 0024)."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

GATHER_STATISTICS = """
CREATE OR REPLACE FUNCTION engage.gather_statistics(name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF name NOT IN ('contact', 'membership', 'plan_row', 'contact_change') THEN
        RAISE EXCEPTION 'no statistics are gathered of %', name;
    END IF;
    EXECUTE format('ANALYZE engage.%I', name);
END $$
"""
"""Runs with the rights of the role that owns the tables: to others PostgreSQL says that it skips them, and does nothing."""

SET_UP_APPLICATION = """
CREATE OR REPLACE FUNCTION engage.set_up_application() RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    relation text;
BEGIN
    IF to_regrole('engage_app') IS NULL THEN
        BEGIN
            CREATE ROLE engage_app NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END IF;
    IF NOT pg_has_role('engage_app', 'engage_dbt', 'USAGE') THEN
        BEGIN
            GRANT engage_dbt TO engage_app;
        EXCEPTION
            WHEN unique_violation THEN NULL;
        END;
    END IF;
    IF NOT has_database_privilege('engage_app', current_database(), 'TEMPORARY') THEN
        EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO engage_app', current_database());
    END IF;

    GRANT USAGE ON SCHEMA engage TO engage_app;
    FOR relation IN
        SELECT oid::regclass FROM pg_class
        WHERE relnamespace = 'engage'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
            AND relname <> 'alembic_version'
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO engage_app', relation);
    END LOOP;
    GRANT SELECT ON engage.alembic_version TO engage_app;
    GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA engage TO engage_app;
    GRANT EXECUTE ON FUNCTION engage.make_partitions(date, date), engage.drop_plan_month(date),
        engage.gather_statistics(text) TO engage_app;
    RETURN true;
EXCEPTION
    WHEN insufficient_privilege OR undefined_object THEN
        RETURN false;
END $$
"""
"""Makes the role, which all databases of a server share, and gives it its rights here; repeatable.

To be called after ``set_up_readers``, with the rights of whoever upgrades. Where these do not suffice nothing is done, and it
returns false.
"""


def upgrade() -> None:
    op.execute(GATHER_STATISTICS)
    op.execute(SET_UP_APPLICATION)
    for function in ("gather_statistics(text)", "set_up_application()"):
        op.execute(f"REVOKE EXECUTE ON FUNCTION engage.{function} FROM PUBLIC")
