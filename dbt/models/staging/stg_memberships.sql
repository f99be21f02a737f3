-- Memberships with the name of their group; a group without members is one row without contact.

select
    found.name as group_name,
    membership.contact_id,
    membership.attributes,
    membership.joined_at,
    membership.unsubscribed_at
from {{ source('engage', 'contact_group') }} as found
left join {{ source('engage', 'membership') }} as membership using (group_id)
