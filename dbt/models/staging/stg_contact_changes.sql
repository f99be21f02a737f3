-- History, one row per changed field.

select
    change.change_id,
    change.import_id,
    change.row,
    change.contact_id,
    change.version,
    change.changed_at,
    change.outcome,
    field.name as field,
    field.value ->> 0 as before,
    field.value ->> 1 as after
from {{ source('engage', 'contact_change') }} as change
cross join lateral jsonb_each(change.changes) as field (name, value)
