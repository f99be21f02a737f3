"""Roles that read and the role that dbt builds with, their schemas, and history as analysts ask for it (decision 0019)."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

CONTACT_HISTORY = """
CREATE FUNCTION audit.contact_history(identifier text)
RETURNS TABLE (
    at timestamptz, import_id text, file text, "row" bigint, automation text, group_name text,
    field text, before text, after text, version integer, outcome text, contact_id bigint)
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE ROWS 50 AS $$
    SELECT change.changed_at, change.import_id, import.file, change.row, import.automation, import.group_name,
           field.name, field.value ->> 0, field.value ->> 1, change.version, change.outcome, change.contact_id
    FROM engage.contact
    JOIN engage.contact_change AS change ON change.contact_id = contact.contact_id
    CROSS JOIN LATERAL jsonb_each(change.changes) AS field (name, value)
    LEFT JOIN engage.import_register AS import ON import.import_id = change.import_id
    WHERE contact.identifier = contact_history.identifier
    ORDER BY change.changed_at, change.version, change.change_id, field.name
$$
"""
"""The body is a text, which PostgreSQL does not tie to the tables: later migrations may change them."""

EXPLAINED = """
COMMENT ON FUNCTION audit.contact_history(text) IS
'Every change of the contacts that hold this external identifier, one row per field, oldest first (R37).
at: when the import began to apply; before and after: as text, null where there was or is no value;
automation: null for imports by hand; row: null for changes without a row. Clear values: personal data.'
"""

SET_UP_READERS = """
CREATE FUNCTION engage.set_up_readers() RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name text;
    relation text;
BEGIN
    FOREACH name IN ARRAY ARRAY['engage_reader', 'engage_dbt'] LOOP
        CONTINUE WHEN to_regrole(name) IS NOT NULL;
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END LOOP;
    IF NOT pg_has_role('engage_dbt', 'engage_reader', 'USAGE') THEN
        BEGIN
            GRANT engage_reader TO engage_dbt;
        EXCEPTION
            WHEN unique_violation THEN NULL;
        END;
    END IF;
    IF NOT pg_has_role('engage_dbt', 'USAGE') THEN
        EXECUTE format('GRANT engage_dbt TO %I', current_user);
    END IF;

    FOREACH name IN ARRAY ARRAY['marts', 'marts_staging'] LOOP
        EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I', name);
        EXECUTE format('ALTER SCHEMA %I OWNER TO engage_dbt', name);
        FOR relation IN
            SELECT oid::regclass FROM pg_class
            WHERE relnamespace = name::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
                AND relowner <> 'engage_dbt'::regrole
        LOOP
            EXECUTE format('ALTER TABLE %s OWNER TO engage_dbt', relation);
        END LOOP;
    END LOOP;

    GRANT USAGE ON SCHEMA engage, audit, marts TO engage_reader;
    FOR relation IN
        SELECT oid::regclass FROM pg_class
        WHERE relnamespace = 'engage'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
            AND relname <> 'alembic_version'
    LOOP
        EXECUTE format('GRANT SELECT ON %s TO engage_reader', relation);
    END LOOP;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA audit TO engage_reader;
    GRANT SELECT ON ALL TABLES IN SCHEMA marts TO engage_reader;
    ALTER DEFAULT PRIVILEGES FOR ROLE engage_dbt IN SCHEMA marts GRANT SELECT ON TABLES TO engage_reader;
    RETURN true;
EXCEPTION
    WHEN insufficient_privilege OR undefined_object THEN
        RETURN false;
END $$
"""
"""Makes the roles, which all databases of a server share, and gives them their rights here; repeatable.

Runs with the rights of whoever upgrades. Where these do not suffice nothing is done, and it returns false: imports do not
need readers. Roles that the upgrades of two databases make in the same moment are made once.
"""


def upgrade() -> None:
    op.execute("CREATE SCHEMA audit")
    op.execute(CONTACT_HISTORY)
    op.execute("REVOKE EXECUTE ON FUNCTION audit.contact_history(text) FROM PUBLIC")
    op.execute(EXPLAINED)
    op.execute(SET_UP_READERS)
    op.execute("REVOKE EXECUTE ON FUNCTION engage.set_up_readers() FROM PUBLIC")
