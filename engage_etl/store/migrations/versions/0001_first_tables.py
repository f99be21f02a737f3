"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from engage_etl.store.types import Xid8

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


NOTE_WRITE = """
CREATE FUNCTION engage.note_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO engage.store_write (xid) VALUES (pg_current_xact_id()) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$
"""
"""Who wrote contacts or memberships, so that applying sees what its plan did not (R30, R31)."""

RAISE_VERSION = """
CREATE FUNCTION engage.raise_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    NEW.updated_at := now();
    RETURN NEW;
END $$
"""

RAISE_VERSION_TRIGGER = """
CREATE TRIGGER raise_version BEFORE UPDATE ON engage.contact FOR EACH ROW
WHEN (current_setting('engage.applying', true) IS DISTINCT FROM 'on'
      AND NEW.version = OLD.version AND OLD.* IS DISTINCT FROM NEW.*)
EXECUTE FUNCTION engage.raise_version()
"""
"""Writers other than an import raise the version too."""


def upgrade() -> None:
    op.create_table(
        "contact",
        sa.Column("contact_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("email", sa.Text(collation="C"), nullable=True),
        sa.Column("mobile_number", sa.Text(collation="C"), nullable=True),
        sa.Column("app_alias", sa.Text(collation="C"), nullable=True),
        sa.Column("identifier", sa.Text(collation="C"), nullable=True),
        sa.Column("first_name", sa.Text(collation="C"), nullable=True),
        sa.Column("last_name", sa.Text(collation="C"), nullable=True),
        sa.Column("nickname", sa.Text(collation="C"), nullable=True),
        sa.Column("title", sa.SmallInteger(), nullable=True),
        sa.Column("date_of_birth", sa.Text(collation="C"), nullable=True),
        sa.Column("zip_code", sa.Text(collation="C"), nullable=True),
        sa.Column("partner_id", sa.Text(collation="C"), nullable=True),
        sa.Column("country_code", sa.Text(collation="C"), nullable=True),
        sa.Column("language_code", sa.Text(collation="C"), nullable=True),
        sa.Column("time_zone", sa.Text(collation="C"), nullable=True),
        sa.Column("email_key", sa.Text(collation="C"), nullable=True, comment="comparison form of email (R13)"),
        sa.Column(
            "mobile_key", sa.Text(collation="C"), nullable=True, comment="comparison form of mobile_number (R13)"
        ),
        sa.Column(
            "custom",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="by custom_attribute.name_key",
        ),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        postgresql.ExcludeConstraint((sa.column("app_alias"), "="), using="hash", name="uq_contact_app_alias"),
        sa.CheckConstraint("(email IS NULL) = (email_key IS NULL)", name=op.f("ck_contact_email_key")),
        sa.CheckConstraint("(mobile_number IS NULL) = (mobile_key IS NULL)", name=op.f("ck_contact_mobile_key")),
        sa.PrimaryKeyConstraint("contact_id", name=op.f("pk_contact")),
        schema="engage",
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(
        "ix_contact_identifier", "contact", ["identifier"], unique=False, schema="engage", postgresql_using="hash"
    )
    op.create_index("uq_contact_email_key", "contact", ["email_key"], unique=True, schema="engage")
    op.create_index("uq_contact_mobile_key", "contact", ["mobile_key"], unique=True, schema="engage")
    op.create_table(
        "contact_change",
        sa.Column("change_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("import_id", sa.Text(collation="C"), nullable=False),
        sa.Column("row", sa.BigInteger(), nullable=True, comment="null: a change without a row"),
        sa.Column("contact_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, comment="of the contact after the change"),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False, comment="created or updated"),
        sa.Column(
            "changes", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="field to [before, after] (R37)"
        ),
        sa.PrimaryKeyConstraint("change_id", name=op.f("pk_contact_change")),
        schema="engage",
    )
    op.create_index(
        op.f("ix_contact_change_contact_id"), "contact_change", ["contact_id"], unique=False, schema="engage"
    )
    op.create_index(op.f("ix_contact_change_import_id"), "contact_change", ["import_id"], unique=False, schema="engage")
    op.create_table(
        "contact_group",
        sa.Column("group_id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", sa.Text(collation="C"), nullable=False, comment="comparison form of name (R22)"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("group_id", name=op.f("pk_contact_group")),
        sa.UniqueConstraint("name_key", name=op.f("uq_contact_group_name_key")),
        schema="engage",
    )
    op.create_table(
        "custom_attribute",
        sa.Column("name_key", sa.Text(collation="C"), nullable=False, comment="comparison form of name (R17)"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column(
            "allowed_values",
            postgresql.ARRAY(sa.Text()),
            nullable=True,
            comment="of an enumeration; null: any value of the type",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name_key", name=op.f("pk_custom_attribute")),
        schema="engage",
    )
    op.create_table(
        "import_register",
        sa.Column("import_id", sa.Text(collation="C"), nullable=False),
        sa.Column("automation", sa.Text(), nullable=True, comment="null: imported by hand"),
        sa.Column("file", sa.Text(), nullable=False, comment="name of the file as it arrived"),
        sa.Column("source_path", sa.Text(), nullable=False, comment="where the file was found"),
        sa.Column(
            "claimed_path",
            sa.Text(),
            nullable=True,
            comment="where a dropped file waits for its import; null: it stays at source_path",
        ),
        sa.Column(
            "is_claimed",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="false: about to be moved to claimed_path",
        ),
        sa.Column("settled_path", sa.Text(), nullable=True, comment="where a dropped file ended: done/ or failed/"),
        sa.Column("group_name", sa.Text(), nullable=False),
        sa.Column("options", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("rows", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("updated", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("unchanged", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("skipped", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("rejected", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "reasons", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column(
            "warnings", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column("drifted", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("plan_hash", sa.Text(), nullable=True, comment="of the plan applied, or of the latest plan"),
        sa.Column("first_plan_hash", sa.Text(), nullable=True, comment="of the plan made first (R30)"),
        sa.Column("plan_snapshot", sa.Text(), nullable=True, comment="pg_snapshot that the plan was made in"),
        sa.Column(
            "stage_hash", sa.Text(), nullable=True, comment="SHA-256 over the stage files that the plan was made from"
        ),
        sa.Column(
            "attempts",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="runs asked for by the sensor",
        ),
        sa.Column("report", sa.Text(), nullable=True, comment="report folder, relative to the data folder"),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "modified_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="modification time of the file as it arrived (R40)",
        ),
        sa.Column("validated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "ended_at", sa.DateTime(timezone=True), nullable=True, comment="when it was applied, stopped or failed"
        ),
        sa.PrimaryKeyConstraint("import_id", name=op.f("pk_import_register")),
        schema="engage",
    )
    op.create_index(
        op.f("ix_import_register_received_at"), "import_register", ["received_at"], unique=False, schema="engage"
    )
    op.create_index(op.f("ix_import_register_status"), "import_register", ["status"], unique=False, schema="engage")
    op.create_table(
        "store_write",
        sa.Column(
            "xid",
            Xid8(),
            nullable=False,
            comment="pg_current_xact_id() of a transaction that wrote contacts or memberships",
        ),
        sa.Column("written_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("xid", name=op.f("pk_store_write")),
        schema="engage",
    )
    op.create_table(
        "import_file",
        sa.Column("import_id", sa.Text(collation="C"), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("arrived_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("archived_path", sa.Text(), nullable=False, comment="relative to the data folder"),
        sa.Column("file_type", sa.Text(), nullable=False),
        sa.Column("separator", sa.Text(), nullable=True, comment="null for XML"),
        sa.Column("character_set", sa.Text(), nullable=False),
        sa.Column(
            "detection",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="by what file type, separator and character set were decided",
        ),
        sa.ForeignKeyConstraint(
            ["import_id"],
            ["engage.import_register.import_id"],
            name=op.f("fk_import_file_import_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("import_id", name=op.f("pk_import_file")),
        schema="engage",
    )
    op.create_table(
        "membership",
        sa.Column("group_id", sa.Integer(), nullable=False),
        sa.Column("contact_id", sa.BigInteger(), nullable=False),
        sa.Column("joined_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["contact_id"], ["engage.contact.contact_id"], name=op.f("fk_membership_contact_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["group_id"], ["engage.contact_group.group_id"], name=op.f("fk_membership_group_id")),
        sa.PrimaryKeyConstraint("group_id", "contact_id", name=op.f("pk_membership")),
        schema="engage",
    )
    op.create_index(op.f("ix_membership_contact_id"), "membership", ["contact_id"], unique=False, schema="engage")
    op.create_table(
        "plan_attribute",
        sa.Column("import_id", sa.Text(collation="C"), nullable=False),
        sa.Column("name_key", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("allowed_values", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.ForeignKeyConstraint(
            ["import_id"],
            ["engage.import_register.import_id"],
            name=op.f("fk_plan_attribute_import_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("import_id", "name_key", name=op.f("pk_plan_attribute")),
        schema="engage",
        comment="custom attributes that applying the plan creates (R17)",
    )
    op.create_table(
        "plan_row",
        sa.Column("import_id", sa.Text(collation="C"), nullable=False),
        sa.Column("row", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("contact_id", sa.BigInteger(), nullable=True),
        sa.Column("contact_version", sa.Integer(), nullable=True, comment="version of the contact that the plan saw"),
        sa.Column(
            "changes", postgresql.JSONB(astext_type=sa.Text()), nullable=True, comment="field to [before, after]"
        ),
        sa.Column(
            "custom",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="custom values to write, by custom_attribute.name_key",
        ),
        sa.Column(
            "email_key", sa.Text(collation="C"), nullable=True, comment="comparison form of the new e-mail address"
        ),
        sa.Column(
            "mobile_key", sa.Text(collation="C"), nullable=True, comment="comparison form of the new mobile number"
        ),
        sa.ForeignKeyConstraint(
            ["import_id"], ["engage.import_register.import_id"], name=op.f("fk_plan_row_import_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("import_id", "row", name=op.f("pk_plan_row")),
        schema="engage",
    )
    op.execute(NOTE_WRITE)
    for table in ("contact", "membership"):
        op.execute(
            f"CREATE TRIGGER note_write AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON engage.{table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION engage.note_write()"
        )
    op.execute(RAISE_VERSION)
    op.execute(RAISE_VERSION_TRIGGER)
