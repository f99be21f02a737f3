-- One row per attribute: how many of those who can have it have a value.

{% set attributes = var('attributes') %}

with counted as (

    select
        count(*) as holders
        {%- for attribute in attributes %},
        count({{ attribute }}) as {{ attribute }}
        {%- endfor %}
    from {{ ref('contact_current') }}

),

standard as (

    select 'standard' as scope, one.attribute, counted.holders, one.filled
    from counted
    cross join lateral (
        values
        {%- for attribute in attributes %}
        ('{{ attribute }}', counted.{{ attribute }}){{ "," if not loop.last }}
        {%- endfor %}
    ) as one (attribute, filled)

),

memberships as (

    select attributes from {{ ref('stg_memberships') }} where contact_id is not null

),

filled as (

    select 'custom' as scope, key as name_key, count(*) as filled
    from {{ ref('contact_current') }} as contact
    cross join lateral jsonb_object_keys(contact.custom) as one (key)
    group by key

    union all

    select 'member' as scope, key as name_key, count(*) as filled
    from memberships
    cross join lateral jsonb_object_keys(memberships.attributes) as one (key)
    group by key

),

free as (

    select
        known.scope,
        known.scope || '.' || known.name as attribute,
        case known.scope when 'custom' then counted.holders else (select count(*) from memberships) end as holders,
        coalesce(filled.filled, 0) as filled
    from {{ ref('stg_free_attributes') }} as known
    cross join counted
    left join filled using (scope, name_key)

)

select
    attribute,
    scope,
    holders,
    filled,
    filled::numeric / nullif(holders, 0) as share_filled
from (select * from standard union all select * from free) as every
