"""The tables of the store, as SQLAlchemy Core sees them; the migrations create them."""

from __future__ import annotations

import string

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, ExcludeConstraint
from sqlalchemy.types import TypeEngine

from engage_etl.store.types import Xid8
from engage_etl.vocabulary.attributes import ATTRIBUTES, Attribute, Kind

SCHEMA = "engage"
"""Schema of the store's tables in the database."""

LOADING = "engage_loading"
"""Schema of tables that several connections fill (``store/loading_tables.py``), and of what these are made like."""

KEY_COLUMNS = {"email": "email_key", "mobile_number": "mobile_key", "app_alias": "app_alias"}
"""For each address the column of contacts, and of tables made for plans, with its comparison form (R13)."""

METADATA = MetaData(
    schema=SCHEMA,
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    },
)


def column_type(attribute: Attribute) -> TypeEngine[int] | TypeEngine[str]:
    """The type of an attribute's column: texts compare byte by byte (R4, R33), the title as a number."""
    return SmallInteger() if attribute.kind is Kind.TITLE else Text(collation="C")


def _scope() -> Column[str]:
    """Whose attribute it is: ``custom`` of a contact, ``member`` of a membership; also the prefix of its changes."""
    return Column("scope", Text(collation="C"), primary_key=True, server_default=text("'custom'"))


_PUNCTUATION = text("'{}'".format(string.punctuation.replace("'", "''")))


def near_form(identifier: ColumnElement[str] | Column[str]) -> ColumnElement[str]:
    """What identifiers have in common that differ only by case, leading zeros or punctuation around them.

    For hints in messages, never for matching (R4). Case of ASCII letters only: other letters have no form that all
    versions of PostgreSQL agree on.
    """
    return func.lower(func.ltrim(func.btrim(identifier, _PUNCTUATION), text("'0'")))


_CLEARED_AT_ONCE = {
    "autovacuum_vacuum_scale_factor": 0.05,
    "autovacuum_analyze_scale_factor": 0.05,
    "autovacuum_vacuum_cost_delay": 0,
}
"""What an import leaves behind is cleared before the next one applies, which would break autovacuum off (decision 0009).

The defaults let a fifth of a table be dead, and let autovacuum pause so often that it takes as long as an import.
"""

contact = Table(
    "contact",
    METADATA,
    Column("contact_id", BigInteger, Identity(always=False), primary_key=True),
    *(Column(attribute.field, column_type(attribute)) for attribute in ATTRIBUTES),
    Column("email_key", Text(collation="C"), comment="comparison form of email (R13)"),
    Column("mobile_key", Text(collation="C"), comment="comparison form of mobile_number (R13)"),
    Column("custom", JSONB, nullable=False, server_default=text("'{}'::jsonb"), comment="by custom_attribute.name_key"),
    Column("version", Integer, nullable=False, server_default=text("1")),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("deactivated_at", DateTime(timezone=True), comment="switched off after delivery failures (R21)"),
    CheckConstraint("(email IS NULL) = (email_key IS NULL)", name="email_key"),
    CheckConstraint("(mobile_number IS NULL) = (mobile_key IS NULL)", name="mobile_key"),
    # An alias may be longer than a btree entry holds: unique by a hash index (design, "Store").
    ExcludeConstraint(("app_alias", "="), using="hash", name="uq_contact_app_alias"),
    # Skip-unchanged and free room on each page keep updates on the page (HOT).
    postgresql_with={"fillfactor": 70, **_CLEARED_AT_ONCE},
)
Index("uq_contact_email_key", contact.c.email_key, unique=True)
Index("uq_contact_mobile_key", contact.c.mobile_key, unique=True)
Index("ix_contact_identifier", contact.c.identifier, postgresql_using="hash")
Index("ix_contact_near_identifier", near_form(contact.c.identifier), postgresql_using="hash")

contact_group = Table(
    "contact_group",
    METADATA,
    Column("group_id", Integer, Identity(always=False), primary_key=True),
    Column("name", Text, nullable=False),
    Column("name_key", Text(collation="C"), nullable=False, unique=True, comment="comparison form of name (R22)"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

membership = Table(
    "membership",
    METADATA,
    Column("group_id", ForeignKey(contact_group.c.group_id), primary_key=True),
    Column("contact_id", ForeignKey(contact.c.contact_id, ondelete="CASCADE"), primary_key=True),
    Column("joined_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column(
        "attributes", JSONB, nullable=False, server_default=text("'{}'::jsonb"), comment="by custom_attribute.name_key"
    ),
    Column("unsubscribed_at", DateTime(timezone=True), comment="when the member left the group by its own will (R21)"),
    postgresql_with=_CLEARED_AT_ONCE,
)
Index(None, membership.c.contact_id)

custom_attribute = Table(
    "custom_attribute",
    METADATA,
    Column("name_key", Text(collation="C"), primary_key=True, comment="comparison form of name (R17)"),
    Column("name", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("allowed_values", ARRAY(Text), comment="of an enumeration; null: any value of the type"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    _scope(),
)

import_register = Table(
    "import_register",
    METADATA,
    Column("import_id", Text(collation="C"), primary_key=True),
    Column("automation", Text, comment="null: imported by hand"),
    Column("file", Text, nullable=False, comment="name of the file as it arrived"),
    Column("source_path", Text, nullable=False, comment="where the file was found"),
    Column("claimed_path", Text, comment="where a dropped file waits for its import; null: it stays at source_path"),
    Column(
        "is_claimed",
        Boolean,
        nullable=False,
        server_default=text("true"),
        comment="false: about to be moved to claimed_path",
    ),
    Column("settled_path", Text, comment="where a dropped file ended: done/ or failed/"),
    Column("group_name", Text, nullable=False),
    Column("options", JSONB, nullable=False),
    Column("status", Text, nullable=False),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("rows", BigInteger, nullable=False, server_default=text("0")),
    Column("created", BigInteger, nullable=False, server_default=text("0")),
    Column("updated", BigInteger, nullable=False, server_default=text("0")),
    Column("unchanged", BigInteger, nullable=False, server_default=text("0")),
    Column("skipped", BigInteger, nullable=False, server_default=text("0")),
    Column("rejected", BigInteger, nullable=False, server_default=text("0")),
    Column("reasons", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("warnings", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    Column("drifted", BigInteger, nullable=False, server_default=text("0")),
    Column("plan_hash", Text, comment="of the plan applied, or of the latest plan"),
    Column("first_plan_hash", Text, comment="of the plan made first (R30)"),
    Column("plan_snapshot", Text, comment="pg_snapshot that the plan was made in"),
    Column("stage_hash", Text, comment="SHA-256 over the stage files that the plan was made from"),
    Column("attempts", Integer, nullable=False, server_default=text("0"), comment="runs asked for by the sensor"),
    Column("report", Text, comment="report folder, relative to the data folder"),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("modified_at", DateTime(timezone=True), comment="modification time of the file as it arrived (R40)"),
    Column("validated_at", DateTime(timezone=True)),
    Column("planned_at", DateTime(timezone=True)),
    Column("applied_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True), comment="when it was applied, stopped or failed"),
    Column("entry", Text, comment="entry of the archive that the import takes; null: the file is no archive"),
    Column("left_group", BigInteger, nullable=False, server_default=text("0"), comment="members that replace took out"),
    Column(
        "changed_fields",
        JSONB,
        nullable=False,
        server_default=text("'{}'::jsonb"),
        comment="rows of the plan that change each field, by outcome",
    ),
    Column("started_by", Text, comment="who started it by hand; null: its automation did"),
    Column("reverts", Text(collation="C"), comment="the import that this one undoes (R36); null: it takes in a file"),
    Column("reverted_by", Text, comment="who had it undo that import; null: nobody said"),
    Column("restored", BigInteger, nullable=False, server_default=text("0"), comment="changes that it took back"),
    Column("kept", BigInteger, nullable=False, server_default=text("0"), comment="changes that others changed since"),
    Column(
        "failed", BigInteger, nullable=False, server_default=text("0"), comment="changes that it could not take back"
    ),
    Column("amends", Text(collation="C"), comment="the import some of whose rows this one has, corrected"),
    Column("source_state", Text, comment="size, modification time and tag of a file elsewhere as it was claimed"),
)
Index(None, import_register.c.received_at)
Index(None, import_register.c.status)
Index(None, import_register.c.reverts, postgresql_where=import_register.c.reverts.is_not(None))
Index(None, import_register.c.amends, postgresql_where=import_register.c.amends.is_not(None))
Index(
    "uq_import_register_claim",
    import_register.c.source_path,
    import_register.c.source_state,
    func.coalesce(import_register.c.entry, ""),
    unique=True,
    # Whoever claims a file elsewhere enters it first, and nobody else can while the claim is under way (R40).
    postgresql_where=text("NOT is_claimed AND source_state IS NOT NULL"),
)

import_file = Table(
    "import_file",
    METADATA,
    Column("import_id", ForeignKey(import_register.c.import_id, ondelete="CASCADE"), primary_key=True),
    Column("sha256", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("arrived_at", DateTime(timezone=True), nullable=False),
    Column("archived_path", Text, nullable=False, comment="relative to the data folder"),
    Column("file_type", Text, nullable=False),
    Column("separator", Text, comment="null for XML"),
    Column("character_set", Text, nullable=False),
    Column("detection", JSONB, nullable=False, comment="by what file type, separator and character set were decided"),
)

plan_row = Table(
    "plan_row",
    METADATA,
    # No foreign key to the register: its trigger costs 2 s for a million rows (decision 0009).
    Column("import_id", Text(collation="C"), primary_key=True),
    Column("row", BigInteger, primary_key=True),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    Column("message", Text),
    Column("contact_id", BigInteger),
    Column("contact_version", Integer, comment="version of the contact that the plan saw"),
    Column("changes", JSONB, comment="field to [before, after]"),
    Column("custom", JSONB, comment="custom values to write, by custom_attribute.name_key"),
    Column("email_key", Text(collation="C"), comment="comparison form of the new e-mail address"),
    Column("mobile_key", Text(collation="C"), comment="comparison form of the new mobile number"),
    Column("member", JSONB, comment="member values to write, by custom_attribute.name_key"),
    Column(
        "planned_on",
        Date,
        primary_key=True,
        server_default=text("CURRENT_DATE"),
        comment="day on which the plan was made; the table is partitioned by its month",
    ),
    Column("is_vacated", Boolean, comment="another row takes over an address that this one gives up (R11)"),
    postgresql_partition_by="RANGE (planned_on)",
)

plan_leaver = Table(
    "plan_leaver",
    METADATA,
    Column("import_id", ForeignKey(import_register.c.import_id, ondelete="CASCADE"), primary_key=True),
    Column("contact_id", BigInteger, primary_key=True),
    Column("changes", JSONB, nullable=False, comment="field to [before, after]"),
    comment="members that the file lacks and that leave the group by the import mode replace (R20)",
)

plan_attribute = Table(
    "plan_attribute",
    METADATA,
    Column("import_id", ForeignKey(import_register.c.import_id, ondelete="CASCADE"), primary_key=True),
    Column("name_key", Text(collation="C"), primary_key=True),
    Column("name", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("allowed_values", ARRAY(Text)),
    _scope(),
    comment="custom and member attributes that applying the plan creates (R17)",
)

plan_approval = Table(
    "plan_approval",
    METADATA,
    Column("approval_id", BigInteger, Identity(always=False), primary_key=True),
    Column("import_id", ForeignKey(import_register.c.import_id, ondelete="CASCADE"), nullable=False),
    Column("plan_hash", Text, nullable=False, comment="of the plan that was approved, and of no other"),
    Column("approved_by", Text, nullable=False),
    Column("approved_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column(
        "overrides",
        ARRAY(Text),
        nullable=False,
        server_default=text("'{}'::text[]"),
        comment="brakes that had stopped the plan",
    ),
    Column("void_because", Text, comment="why it holds no more; null: it holds"),
    comment="approvals of plans; they outlive the plans (R35)",
)
Index(None, plan_approval.c.import_id)

contact_change = Table(
    "contact_change",
    METADATA,
    Column("change_id", BigInteger, Identity(), primary_key=True),
    Column("import_id", Text(collation="C"), nullable=False),
    Column("row", BigInteger, comment="null: a change without a row"),
    Column("contact_id", BigInteger, nullable=False),
    Column("version", Integer, nullable=False, comment="of the contact after the change"),
    Column(
        "changed_at",
        DateTime(timezone=True),
        primary_key=True,
        server_default=func.now(),
        comment="the table is partitioned by its month",
    ),
    Column("outcome", Text, nullable=False, comment="created, updated or removed"),
    Column("changes", JSONB, nullable=False, comment="field to [before, after] (R37)"),
    postgresql_partition_by="RANGE (changed_at)",
)
Index(None, contact_change.c.contact_id)
Index(None, contact_change.c.import_id)

ended_membership = Table(
    "ended_membership",
    METADATA,
    # No foreign key, as for plans and history: its trigger would cost more than the row.
    Column("import_id", Text(collation="C"), primary_key=True),
    Column("contact_id", BigInteger, primary_key=True),
    Column("joined_at", DateTime(timezone=True), nullable=False),
    Column("unsubscribed_at", DateTime(timezone=True)),
    comment="what history does not say about memberships that an import ended; a revert gives it back (R36)",
)

revert_detail = Table(
    "revert_detail",
    METADATA,
    Column("import_id", ForeignKey(import_register.c.import_id, ondelete="CASCADE"), primary_key=True),
    Column("contact_id", BigInteger, primary_key=True),
    Column("field", Text(collation="C"), primary_key=True, comment="contact: the contact as a whole"),
    Column("row", BigInteger, comment="of the import that is undone"),
    Column("result", Text, nullable=False, comment="kept or failed"),
    Column("before", JSONB, comment="the value that was to be restored"),
    Column("given", JSONB, comment="the value that the import gave"),
    Column("now", JSONB, comment="the value that was found, and stays"),
    Column("message", Text, nullable=False),
    comment="changes of an import that its revert did not take back (R36)",
)

store_write = Table(
    "store_write",
    METADATA,
    Column(
        "xid",
        Xid8(),
        primary_key=True,
        comment="pg_current_xact_id() of a transaction that wrote contacts or memberships",
    ),
    Column("written_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

notification = Table(
    "notification",
    METADATA,
    Column("import_id", ForeignKey(import_register.c.import_id, ondelete="CASCADE"), primary_key=True),
    Column("status", Text, primary_key=True, comment="that the import has come to"),
    Column("occurred_at", DateTime(timezone=True), primary_key=True, comment="when the import came to that status"),
    Column(
        "destination",
        Text(collation="C"),
        primary_key=True,
        comment="kind and number of an address in ENGAGE_NOTIFY, never the address",
    ),
    Column("entered_at", DateTime(timezone=True), nullable=False),
    Column("sent_at", DateTime(timezone=True)),
    Column("given_up_at", DateTime(timezone=True), comment="when it had failed for too long"),
    comment="what is told about imports, to whom; the outbox of the sensor notifications",
)
Index(
    "ix_notification_unsent",
    notification.c.destination,
    postgresql_where=text("sent_at IS NULL AND given_up_at IS NULL"),
)

notification_destination = Table(
    "notification_destination",
    METADATA,
    Column("destination", Text(collation="C"), primary_key=True),
    Column(
        "failures",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="messages that were begun since the last one that was sent",
    ),
    Column("next_at", DateTime(timezone=True), nullable=False, comment="no message is sent before"),
)

removal = Table(
    "removal",
    METADATA,
    Column("import_id", ForeignKey(import_register.c.import_id, ondelete="CASCADE"), primary_key=True),
    Column("kind", Text(collation="C"), primary_key=True, comment="what was removed: raw_file, plan and so on"),
    Column("began_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("ended_at", DateTime(timezone=True), comment="null: begun, and to be taken up again"),
    Column("cause", Text, nullable=False, comment="the setting with its days, or the erasure"),
    Column("files", BigInteger, nullable=False, server_default=text("0")),
    Column("bytes", BigInteger, nullable=False, server_default=text("0")),
    Column("rows", BigInteger, nullable=False, server_default=text("0")),
    comment="what is no longer there of imports that ended (R42)",
)

erasure = Table(
    "erasure",
    METADATA,
    Column("erasure_id", Integer, Identity(always=False), primary_key=True),
    Column("contact_id", BigInteger, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("began_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("ended_at", DateTime(timezone=True), comment="null: begun, and to be done again to the end"),
    Column(
        "erased",
        JSONB,
        nullable=False,
        server_default=text("'{}'::jsonb"),
        comment="how much was erased, by where it was",
    ),
    comment="contacts that were erased on request (GDPR, article 17)",
)
