-- One row per import: what became of its rows, and how long it took.

with register as (

    select * from {{ source('engage', 'import_register') }}

)

select
    import_id,
    coalesce(automation, 'manual') as automation,
    file,
    group_name,
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
    drifted,
    rejected::numeric / nullif(rows, 0) as share_rejected,
    (created + updated)::numeric / nullif(rows, 0) as share_changed,
    received_at,
    validated_at,
    planned_at,
    applied_at,
    ended_at,
    extract(epoch from validated_at - received_at) as seconds_to_validated,
    extract(epoch from planned_at - validated_at) as seconds_to_plan,
    extract(epoch from applied_at - planned_at) as seconds_to_apply,
    extract(epoch from ended_at - received_at) as seconds_in_all
from register
