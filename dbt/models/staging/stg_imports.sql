-- The register of imports under the names that the marts use.

select
    import_id,
    coalesce(automation, 'manual') as automation,
    file,
    group_name,
    coalesce(options ->> 'import_mode', 'add-and-update') as import_mode,
    status,
    error_code,
    reverts,
    amends,
    rows,
    created,
    updated,
    unchanged,
    skipped,
    rejected,
    left_group,
    drifted,
    reasons,
    received_at,
    validated_at,
    planned_at,
    applied_at,
    ended_at
from {{ source('engage', 'import_register') }}
