-- One row per import and reason: why rows were skipped or rejected.
-- From the counts of the register, which outlive the rows of the plan (R42).

select
    imports.import_id,
    case when found.reason in {{ skipping_reasons() }} then 'skipped' else 'rejected' end as outcome,
    found.reason,
    found.rows::bigint as rows,
    found.rows::numeric / nullif(imports.rows, 0) as share
from {{ ref('imports') }} as imports
cross join lateral jsonb_each_text(imports.reasons) as found (reason, rows)
