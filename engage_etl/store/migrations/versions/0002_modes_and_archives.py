"""Member attributes, members and contacts that an import may leave out, leavers, near misses, entries of archives."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NEAR_IDENTIFIER = r"""
CREATE INDEX ix_contact_near_identifier ON engage.contact
USING hash (lower(ltrim(btrim(identifier, '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~'), '0')))
"""
"""As ``near_form`` in tables.py: for hints about identifiers that nearly match."""


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    _add("contact", sa.Column("deactivated_at", moment, comment="switched off after delivery failures (R21)"))
    # Not through SQLAlchemy, which would read the colon and the percent sign.
    op.get_bind().exec_driver_sql(NEAR_IDENTIFIER.replace("%", "%%"))
    _add(
        "membership",
        sa.Column(
            "attributes",
            postgresql.JSONB(),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="by custom_attribute.name_key",
        ),
    )
    _add(
        "membership",
        sa.Column("unsubscribed_at", moment, comment="when the member left the group by its own will (R21)"),
    )
    for table, key in (("custom_attribute", ["name_key"]), ("plan_attribute", ["import_id", "name_key"])):
        _add(table, sa.Column("scope", sa.Text(collation="C"), server_default=sa.text("'custom'"), nullable=False))
        op.drop_constraint(f"pk_{table}", table, schema="engage")
        op.create_primary_key(f"pk_{table}", table, [*key, "scope"], schema="engage")
    op.create_table_comment(
        "plan_attribute", "custom and member attributes that applying the plan creates (R17)", schema="engage"
    )
    _add(
        "import_register",
        sa.Column(
            "entry", sa.Text(), comment="entry of the archive that the import takes; null: the file is no archive"
        ),
    )
    _add(
        "import_register",
        sa.Column(
            "left_group",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="members that replace took out",
        ),
    )
    _add(
        "plan_row",
        sa.Column("member", postgresql.JSONB(), comment="member values to write, by custom_attribute.name_key"),
    )
    op.create_table(
        "plan_leaver",
        sa.Column("import_id", sa.Text(collation="C"), nullable=False),
        sa.Column("contact_id", sa.BigInteger(), nullable=False),
        sa.Column("changes", postgresql.JSONB(), nullable=False, comment="field to [before, after]"),
        sa.ForeignKeyConstraint(
            ["import_id"],
            ["engage.import_register.import_id"],
            name=op.f("fk_plan_leaver_import_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("import_id", "contact_id", name=op.f("pk_plan_leaver")),
        schema="engage",
        comment="members that the file lacks and that leave the group by the import mode replace (R20)",
    )


def _add(table: str, column: sa.Column[object]) -> None:
    op.add_column(table, column, schema="engage")
