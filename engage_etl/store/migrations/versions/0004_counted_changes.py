"""What a plan changes, counted once; which contacts are vacated, decided by the plan."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "import_register",
        sa.Column(
            "changed_fields",
            postgresql.JSONB(),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="rows of the plan that change each field, by outcome",
        ),
        schema="engage",
    )
    op.add_column(
        "plan_row",
        sa.Column("is_vacated", sa.Boolean(), comment="another row takes over an address that this one gives up (R11)"),
        schema="engage",
    )
