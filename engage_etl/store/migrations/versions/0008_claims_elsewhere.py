"""Files that are claimed at S3 and SFTP: what they were, and that each is claimed once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "import_register",
        sa.Column(
            "source_state", sa.Text(), comment="size, modification time and tag of a file elsewhere as it was claimed"
        ),
        schema="engage",
    )
    op.create_index(
        "uq_import_register_claim",
        "import_register",
        ["source_path", "source_state", sa.text("coalesce(entry, '')")],
        unique=True,
        schema="engage",
        postgresql_where=sa.text("NOT is_claimed AND source_state IS NOT NULL"),
    )
