-- R38: the five outcomes of a planned import add up to the rows of its file. Returns the imports where they do not.

select import_id, rows, created, updated, unchanged, skipped, rejected
from {{ ref('imports') }}
where planned_at is not null
    and rows <> created + updated + unchanged + skipped + rejected
