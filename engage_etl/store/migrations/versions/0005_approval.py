"""Who started an import, and who approved which plan (R35)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "import_register",
        sa.Column("started_by", sa.Text(), comment="who started it by hand; null: its automation did"),
        schema="engage",
    )
    op.create_table(
        "plan_approval",
        sa.Column("approval_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("import_id", sa.Text(collation="C"), nullable=False),
        sa.Column("plan_hash", sa.Text(), nullable=False, comment="of the plan that was approved, and of no other"),
        sa.Column("approved_by", sa.Text(), nullable=False),
        sa.Column("approved_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "overrides",
            sa.ARRAY(sa.Text()),
            server_default=sa.text("'{}'::text[]"),
            nullable=False,
            comment="brakes that had stopped the plan",
        ),
        sa.Column("void_because", sa.Text(), comment="why it holds no more; null: it holds"),
        sa.ForeignKeyConstraint(
            ["import_id"],
            ["engage.import_register.import_id"],
            name=op.f("fk_plan_approval_import_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("approval_id", name=op.f("pk_plan_approval")),
        schema="engage",
        comment="approvals of plans; they outlive the plans (R35)",
    )
    op.create_index(op.f("ix_plan_approval_import_id"), "plan_approval", ["import_id"], unique=False, schema="engage")
