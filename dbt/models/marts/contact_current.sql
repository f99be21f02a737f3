-- One row per contact as it is now. Clear values: personal data.
--
-- Incremental by comparison, not by time: a contact is taken again if its version or its groups are others than here.
-- Who is gone from the store goes from here and, unless history still has the values, from contact_changes.

{{ config(
    materialized='incremental',
    unique_key='contact_id',
    incremental_strategy='delete+insert',
    on_schema_change='append_new_columns',
    indexes=[
        {'columns': ['contact_id'], 'unique': true},
        {'columns': ['identifier'], 'type': 'hash'},
    ],
    post_hook='{{ erase_who_is_gone(this) }}',
) }}

-- depends_on: {{ ref('contact_changes') }}
-- depends_on: {{ ref('stg_contact_changes') }}

with memberships as (

    select contact_id, array_agg(group_name order by group_name) as groups
    from {{ ref('stg_memberships') }}
    where contact_id is not null
    group by contact_id

)

select
    contact.contact_id,
    {%- for attribute in var('attributes') %}
    contact.{{ attribute }},
    {%- endfor %}
    contact.custom,
    coalesce(memberships.groups, '{}') as groups,
    contact.version,
    contact.created_at,
    contact.updated_at,
    contact.deactivated_at
from {{ ref('stg_contacts') }} as contact
left join memberships using (contact_id)
{% if is_incremental() %}
left join {{ this }} as known using (contact_id)
where known.contact_id is null
    or known.version <> contact.version
    or known.groups <> coalesce(memberships.groups, '{}')
{% endif %}
