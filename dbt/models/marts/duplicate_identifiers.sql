-- One row per identifier that several contacts hold, which imports cannot match (R8), and since which import.

with shared as (

    select identifier, count(*) as contacts, array_agg(contact_id order by contact_id) as contact_ids
    from {{ ref('contact_current') }}
    where identifier is not null
    group by identifier
    having count(*) > 1

),

-- When each of its holders got it; those of whom history does not say it had it before.
held_since as (

    select
        shared.identifier,
        given.changed_at,
        given.import_id,
        row_number() over (
            partition by shared.identifier order by given.changed_at nulls first, given.change_id nulls first
        ) as place
    from shared
    cross join lateral unnest(shared.contact_ids) as holder (contact_id)
    left join lateral (
        select change.change_id, change.changed_at, change.import_id
        from {{ ref('contact_changes') }} as change
        where change.contact_id = holder.contact_id
            and change.field = 'identifier'
            and change.after = shared.identifier collate "C"
        order by change.version desc, change.change_id desc
        limit 1
    ) as given on true

)

select
    shared.identifier,
    shared.contacts,
    shared.contact_ids,
    second.changed_at as since,
    second.import_id as since_import_id
from shared
inner join held_since as second on second.identifier = shared.identifier and second.place = 2
