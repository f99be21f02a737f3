"""Plan rows and history partitioned by month; contacts and memberships vacuumed early (decision 0009)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MAKE_PARTITIONS = """
CREATE FUNCTION engage.make_partitions(first_month date, last_month date) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    parent text;
    starts date;
    child text;
BEGIN
    FOR parent, starts IN
        SELECT name, month::date
        FROM unnest(ARRAY['plan_row', 'contact_change']) AS name,
             generate_series(date_trunc('month', first_month), last_month, interval '1 month') AS month
    LOOP
        child := parent || to_char(starts, '_YYYY_MM');
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_class WHERE relnamespace = 'engage'::regnamespace AND relname = child);
        PERFORM pg_advisory_xact_lock(hashtextextended('engage-etl partitions', 0));
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_class WHERE relnamespace = 'engage'::regnamespace AND relname = child);
        EXECUTE format(
            'CREATE TABLE engage.%I (LIKE engage.%I INCLUDING ALL EXCLUDING IDENTITY EXCLUDING INDEXES)', child, parent);
        EXECUTE format('ALTER TABLE engage.%I ALTER import_id SET STATISTICS 0', child);
        IF parent = 'plan_row' THEN
            EXECUTE format('ALTER TABLE engage.%I SET (autovacuum_vacuum_insert_threshold = -1)', child);
        END IF;
        EXECUTE format(
            'ALTER TABLE engage.%I ATTACH PARTITION engage.%I FOR VALUES FROM (%L) TO (%L)',
            parent, child, starts, (starts + interval '1 month')::date);
        RETURN NEXT child;
    END LOOP;
END $$
"""
"""Runs with the rights of the role that owns the tables, so that whoever may use the store never lacks a partition.

- Made apart and attached: ``CREATE TABLE ... PARTITION OF`` would wait for all that read or write the table, and keep
  everybody else waiting meanwhile.
- No statistics about import ids: with them PostgreSQL takes an import that has just been written for one row, since it
  is not among those that it knows; without them for a two-hundredth of the month.
- Plans are not vacuumed for having grown: they are dropped before that would gain anything.
"""

NO_STATISTICS = """
ALTER TABLE engage.{table} ALTER import_id SET STATISTICS 0
"""

VACUUM_EARLY = """
ALTER TABLE engage.{table} SET (
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0)
"""

PARTITIONS_FOR_WHAT_IS_THERE = """
SELECT engage.make_partitions(month, month) FROM (
    SELECT date_trunc('month', coalesce(planned_at, received_at))::date FROM engage.import_register
    UNION SELECT date_trunc('month', changed_at)::date FROM engage_unpartitioned.contact_change
) AS found (month)
"""

COPY_PLAN_ROWS = """
INSERT INTO engage.plan_row
SELECT old.*, coalesce(planned_at, received_at)::date
FROM engage_unpartitioned.plan_row AS old JOIN engage.import_register USING (import_id)
"""

COPY_HISTORY = """
INSERT INTO engage.contact_change SELECT * FROM engage_unpartitioned.contact_change ORDER BY change_id
"""

NEXT_CHANGE = """
SELECT setval(pg_get_serial_sequence('engage.contact_change', 'change_id'), max(change_id))
FROM engage.contact_change HAVING max(change_id) IS NOT NULL
"""


def upgrade() -> None:
    # Names of indexes and constraints are unique in a schema: the old tables wait in one of their own.
    op.execute("CREATE SCHEMA engage_unpartitioned")
    for table in ("plan_row", "contact_change"):
        op.execute(f"ALTER TABLE engage.{table} SET SCHEMA engage_unpartitioned")
    _create_plan_row()
    _create_contact_change()
    op.execute(MAKE_PARTITIONS)
    for table in ("plan_row", "contact_change", "plan_leaver"):
        op.execute(NO_STATISTICS.format(table=table))
    for table in ("contact", "membership"):
        op.execute(VACUUM_EARLY.format(table=table))
    # Days and months are those of UTC, whoever upgrades.
    op.execute("SET LOCAL timezone = 'UTC'")
    for statement in (PARTITIONS_FOR_WHAT_IS_THERE, COPY_PLAN_ROWS, COPY_HISTORY, NEXT_CHANGE):
        op.execute(statement)
    for table in ("plan_row", "contact_change"):
        op.drop_table(table, schema="engage_unpartitioned")
    op.execute("DROP SCHEMA engage_unpartitioned")


def _create_plan_row() -> None:
    json, key = postgresql.JSONB(), sa.Text(collation="C")
    by_name = "by custom_attribute.name_key"
    op.create_table(
        "plan_row",
        sa.Column("import_id", key, nullable=False),
        sa.Column("row", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("message", sa.Text()),
        sa.Column("contact_id", sa.BigInteger()),
        sa.Column("contact_version", sa.Integer(), comment="version of the contact that the plan saw"),
        sa.Column("changes", json, comment="field to [before, after]"),
        sa.Column("custom", json, comment=f"custom values to write, {by_name}"),
        sa.Column("email_key", key, comment="comparison form of the new e-mail address"),
        sa.Column("mobile_key", key, comment="comparison form of the new mobile number"),
        sa.Column("member", json, comment=f"member values to write, {by_name}"),
        sa.Column(
            "planned_on",
            sa.Date(),
            server_default=sa.text("CURRENT_DATE"),
            nullable=False,
            comment="day on which the plan was made; the table is partitioned by its month",
        ),
        sa.PrimaryKeyConstraint("import_id", "row", "planned_on", name=op.f("pk_plan_row")),
        schema="engage",
        postgresql_partition_by="RANGE (planned_on)",
    )


def _create_contact_change() -> None:
    op.create_table(
        "contact_change",
        sa.Column("change_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("import_id", sa.Text(collation="C"), nullable=False),
        sa.Column("row", sa.BigInteger(), comment="null: a change without a row"),
        sa.Column("contact_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, comment="of the contact after the change"),
        sa.Column(
            "changed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="the table is partitioned by its month",
        ),
        sa.Column("outcome", sa.Text(), nullable=False, comment="created or updated"),
        sa.Column("changes", postgresql.JSONB(), nullable=False, comment="field to [before, after] (R37)"),
        sa.PrimaryKeyConstraint("change_id", "changed_at", name=op.f("pk_contact_change")),
        schema="engage",
        postgresql_partition_by="RANGE (changed_at)",
    )
    for column in ("contact_id", "import_id"):
        op.create_index(op.f(f"ix_contact_change_{column}"), "contact_change", [column], schema="engage")
