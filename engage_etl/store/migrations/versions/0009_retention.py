"""What retention removed, who was erased, and how a month of plans is dropped (R42, decision 0017)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

DROP_PLAN_MONTH = """
CREATE FUNCTION engage.drop_plan_month(month date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    child text := 'plan_row' || to_char(month, '_YYYY_MM');
BEGIN
    IF date_trunc('month', month) >= date_trunc('month', current_date) THEN
        RAISE EXCEPTION 'plans are still written into %', child;
    END IF;
    IF to_regclass(format('engage.%I', child)) IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('DROP TABLE engage.%I', child);
    RETURN true;
END $$
"""
"""Runs with the rights of the role that owns the tables, as ``make_partitions`` does, but not for everybody."""


def upgrade() -> None:
    _create_removal()
    _create_erasure()
    op.execute(DROP_PLAN_MONTH)
    op.execute("REVOKE ALL ON FUNCTION engage.drop_plan_month(date) FROM PUBLIC")


def _create_removal() -> None:
    op.create_table(
        "removal",
        sa.Column("import_id", sa.Text(collation="C"), nullable=False),
        sa.Column("kind", sa.Text(collation="C"), nullable=False, comment="what was removed: raw_file, plan and so on"),
        sa.Column("began_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), comment="null: begun, and to be taken up again"),
        sa.Column("cause", sa.Text(), nullable=False, comment="the setting with its days, or the erasure"),
        sa.Column("files", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("rows", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(
            ["import_id"], ["engage.import_register.import_id"], name=op.f("fk_removal_import_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("import_id", "kind", name=op.f("pk_removal")),
        schema="engage",
        comment="what is no longer there of imports that ended (R42)",
    )


def _create_erasure() -> None:
    op.create_table(
        "erasure",
        sa.Column("erasure_id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("contact_id", sa.BigInteger(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), comment="null: begun, and to be done again to the end"),
        sa.Column(
            "erased",
            postgresql.JSONB(),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="how much was erased, by where it was",
        ),
        sa.PrimaryKeyConstraint("erasure_id", name=op.f("pk_erasure")),
        schema="engage",
        comment="contacts that were erased on request (GDPR, article 17)",
    )
