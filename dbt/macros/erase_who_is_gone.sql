{#
  Contacts that are gone from the store go from the table of contacts, and what history no longer says about them from the
  table of changes, in one statement: somebody who is forgotten between two statements is found by the next build.
  Contacts that a revert removed keep their changes, since history keeps them.
#}
{% macro erase_who_is_gone(contacts) %}
with gone as (
    delete from {{ contacts }} as known
    where not exists (
        select from {{ ref('stg_contacts') }} as contact where contact.contact_id = known.contact_id
    )
    returning known.contact_id
)
delete from {{ ref('contact_changes') }} as change
using gone
where change.contact_id = gone.contact_id
    and not exists (
        select from {{ ref('stg_contact_changes') }} as history
        where history.contact_id = change.contact_id
            and history.change_id = change.change_id
            and history.field = change.field
            and history.before is not distinct from change.before
            and history.after is not distinct from change.after
    )
{% endmacro %}
