-- Contacts as they are now; comparison forms of addresses are left out.

select
    contact_id,
    {%- for attribute in var('attributes') %}
    {{ attribute }},
    {%- endfor %}
    custom,
    version,
    created_at,
    updated_at,
    deactivated_at
from {{ source('engage', 'contact') }}
