"""Which notifications wait, which were sent, and how the destinations do."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "notification",
        sa.Column("import_id", sa.Text(collation="C"), nullable=False),
        sa.Column("status", sa.Text(), nullable=False, comment="that the import has come to"),
        sa.Column(
            "occurred_at", sa.DateTime(timezone=True), nullable=False, comment="when the import came to that status"
        ),
        sa.Column(
            "destination",
            sa.Text(collation="C"),
            nullable=False,
            comment="kind and number of an address in ENGAGE_NOTIFY, never the address",
        ),
        sa.Column("entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        sa.Column("given_up_at", sa.DateTime(timezone=True), comment="when it had failed for too long"),
        sa.ForeignKeyConstraint(
            ["import_id"],
            ["engage.import_register.import_id"],
            name=op.f("fk_notification_import_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("import_id", "status", "occurred_at", "destination", name=op.f("pk_notification")),
        schema="engage",
        comment="what is told about imports, to whom; the outbox of the sensor notifications",
    )
    op.create_index(
        "ix_notification_unsent",
        "notification",
        ["destination"],
        unique=False,
        schema="engage",
        postgresql_where=sa.text("sent_at IS NULL AND given_up_at IS NULL"),
    )
    op.create_table(
        "notification_destination",
        sa.Column("destination", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "failures",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="messages that were begun since the last one that was sent",
        ),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False, comment="no message is sent before"),
        sa.PrimaryKeyConstraint("destination", name=op.f("pk_notification_destination")),
        schema="engage",
    )
