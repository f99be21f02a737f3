"""Imports that undo others or bring corrected rows; what history does not say about memberships that ended."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_LINKS = {
    "reverts": "the import that this one undoes (R36); null: it takes in a file",
    "amends": "the import some of whose rows this one has, corrected",
}
_COUNTS = {
    "restored": "changes that it took back",
    "kept": "changes that others changed since",
    "failed": "changes that it could not take back",
}


def upgrade() -> None:
    _extend_register()
    op.alter_column(
        "contact_change",
        "outcome",
        schema="engage",
        comment="created, updated or removed",
        existing_comment="created or updated",
    )
    _create_ended_membership()
    _create_revert_detail()


def _extend_register() -> None:
    key = sa.Text(collation="C")
    columns: list[sa.Column[Any]] = [
        sa.Column("reverts", key, comment=_LINKS["reverts"]),
        sa.Column("reverted_by", sa.Text(), comment="who had it undo that import; null: nobody said"),
        *(
            sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment=comment)
            for name, comment in _COUNTS.items()
        ),
        sa.Column("amends", key, comment=_LINKS["amends"]),
    ]
    for column in columns:
        op.add_column("import_register", column, schema="engage")
    for name in _LINKS:
        op.create_index(
            op.f(f"ix_import_register_{name}"),
            "import_register",
            [name],
            schema="engage",
            postgresql_where=sa.text(f"{name} IS NOT NULL"),
        )


def _create_ended_membership() -> None:
    op.create_table(
        "ended_membership",
        sa.Column("import_id", sa.Text(collation="C"), nullable=False),
        sa.Column("contact_id", sa.BigInteger(), nullable=False),
        sa.Column("joined_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("unsubscribed_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("import_id", "contact_id", name=op.f("pk_ended_membership")),
        schema="engage",
        comment="what history does not say about memberships that an import ended; a revert gives it back (R36)",
    )


def _create_revert_detail() -> None:
    json = postgresql.JSONB()
    op.create_table(
        "revert_detail",
        sa.Column("import_id", sa.Text(collation="C"), nullable=False),
        sa.Column("contact_id", sa.BigInteger(), nullable=False),
        sa.Column("field", sa.Text(collation="C"), nullable=False, comment="contact: the contact as a whole"),
        sa.Column("row", sa.BigInteger(), comment="of the import that is undone"),
        sa.Column("result", sa.Text(), nullable=False, comment="kept or failed"),
        sa.Column("before", json, comment="the value that was to be restored"),
        sa.Column("given", json, comment="the value that the import gave"),
        sa.Column("now", json, comment="the value that was found, and stays"),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["import_id"],
            ["engage.import_register.import_id"],
            name=op.f("fk_revert_detail_import_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("import_id", "contact_id", "field", name=op.f("pk_revert_detail")),
        schema="engage",
        comment="changes of an import that its revert did not take back (R36)",
    )
