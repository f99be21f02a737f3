"""History says who approved the plan that a change comes from; names of groups compare without space around them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

WHO_MAY_ASK = sa.text("""
SELECT quote_ident(pg_get_userbyid(granted.grantee))
FROM pg_proc, LATERAL aclexplode(proacl) AS granted
WHERE pg_proc.oid = 'audit.contact_history(text)'::regprocedure
    AND granted.privilege_type = 'EXECUTE' AND granted.grantee NOT IN (0, proowner)
""")

CONTACT_HISTORY = """
CREATE FUNCTION audit.contact_history(identifier text)
RETURNS TABLE (
    at timestamptz, import_id text, file text, "row" bigint, automation text, group_name text,
    field text, before text, after text, version integer, outcome text, contact_id bigint, approved_by text)
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE ROWS 50 AS $$
    SELECT change.changed_at, change.import_id, import.file, change.row, import.automation, import.group_name,
           field.name, field.value ->> 0, field.value ->> 1, change.version, change.outcome, change.contact_id,
           (SELECT approval.approved_by FROM engage.plan_approval AS approval
            WHERE approval.import_id = import.import_id AND approval.plan_hash = import.plan_hash
                AND approval.void_because IS NULL
            ORDER BY approval.approval_id DESC LIMIT 1)
    FROM engage.contact
    JOIN engage.contact_change AS change ON change.contact_id = contact.contact_id
    CROSS JOIN LATERAL jsonb_each(change.changes) AS field (name, value)
    LEFT JOIN engage.import_register AS import ON import.import_id = change.import_id
    WHERE contact.identifier = contact_history.identifier
    ORDER BY change.changed_at, change.version, change.change_id, field.name
$$
"""
"""The new column comes last, so that who reads columns by their place finds them where they were."""

EXPLAINED = """
COMMENT ON FUNCTION audit.contact_history(text) IS
'Every change of the contacts that hold this external identifier, one row per field, oldest first (R37).
at: when the import began to apply; before and after: as text, null where there was or is no value;
automation: null for imports by hand; row: null for changes without a row; approved_by: null where nobody had to
approve. Clear values: personal data.'
"""

TRIMMED_GROUPS = """
WITH numbered AS (
    SELECT group_id, row_number() OVER (
        PARTITION BY btrim(name_key) ORDER BY name_key <> btrim(name_key), group_id) AS place
    FROM engage.contact_group)
UPDATE engage.contact_group
SET name = btrim(name) || CASE WHEN place = 1 THEN '' ELSE ' (' || contact_group.group_id || ')' END,
    name_key = btrim(name_key) || CASE WHEN place = 1 THEN '' ELSE ' (' || contact_group.group_id || ')' END
FROM numbered
WHERE numbered.group_id = contact_group.group_id AND name_key <> btrim(name_key)
"""
"""Of two groups whose names differ by space around them alone, the second gets its number into its name."""


def upgrade() -> None:
    # A function cannot be replaced by one that returns more: dropped, it takes along who may call it.
    askers = list(op.get_bind().scalars(WHO_MAY_ASK))
    op.execute("DROP FUNCTION audit.contact_history(text)")
    op.execute(CONTACT_HISTORY)
    op.execute("REVOKE EXECUTE ON FUNCTION audit.contact_history(text) FROM PUBLIC")
    for name in askers:
        op.execute(f"GRANT EXECUTE ON FUNCTION audit.contact_history(text) TO {name}")
    op.execute(EXPLAINED)
    op.execute(TRIMMED_GROUPS)
