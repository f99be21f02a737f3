-- One row per group and day on which memberships began or ended by imports: how many, and how many members that left.
-- Members are counted today and reckoned back, so that memberships that other programs wrote count as if always there.

-- depends_on: {{ ref('contact_current') }}
-- which erases from contact_changes who is gone

with moves as (

    select
        coalesce(after, before) as group_name,
        (changed_at at time zone 'UTC')::date as day,
        count(after) as joined,
        count(*) - count(after) as left_group
    from {{ ref('contact_changes') }}
    where field = 'groups'
    group by 1, 2

),

today as (

    select group_name, count(contact_id) as members
    from {{ ref('stg_memberships') }}
    group by group_name

)

select
    moves.group_name,
    moves.day,
    moves.joined,
    moves.left_group,
    coalesce(today.members, 0) - coalesce(sum(moves.joined - moves.left_group) over (
        partition by moves.group_name order by moves.day rows between 1 following and unbounded following
    ), 0)::bigint as members
from moves
left join today using (group_name)
