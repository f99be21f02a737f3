-- Attributes that are not in the catalogue: custom ones of contacts, and those of memberships.
-- In the collation of the keys of JSON, which they are compared with.

select
    scope collate "default" as scope,
    name_key collate "default" as name_key,
    name,
    type
from {{ source('engage', 'custom_attribute') }}
