-- One row per changed field of a contact. Clear values: personal data.
--
-- Incremental by import, not by time: rows bear the time at which their transaction began, and become visible when it
-- commits, maybe long after others with later times. An import writes its history in one transaction, so that all of it is
-- visible or nothing: what is missing is the history of imports that this table has no rows of (decision 0019).

{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='append_new_columns',
    indexes=[
        {'columns': ['change_id', 'field'], 'unique': true},
        {'columns': ['import_id']},
        {'columns': ['contact_id']},
        {'columns': ['field', 'changed_at']},
        {'columns': ['changed_at'], 'type': 'brin'},
    ],
) }}

with missing as (

    select imports.import_id
    from {{ ref('imports') }} as imports
    {% if is_incremental() %}
    where not exists (select from {{ this }} as known where known.import_id = imports.import_id)
    {% endif %}

)

select
    change.change_id,
    change.import_id,
    change.row,
    change.contact_id,
    change.version,
    change.changed_at,
    change.outcome,
    change.field,
    change.before,
    change.after
from missing
-- By the index, import for import: offset 0 keeps the planner from reading all of history for a few imports.
cross join lateral (
    select * from {{ ref('stg_contact_changes') }} as one where one.import_id = missing.import_id offset 0
) as change
