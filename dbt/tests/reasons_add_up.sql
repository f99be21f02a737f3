-- Each skipped or rejected row has one reason. Returns the imports where the reasons do not add up to these rows.

select imports.import_id, imports.skipped, imports.rejected
from {{ ref('imports') }} as imports
left join {{ ref('import_rows_by_reason') }} as reasons using (import_id)
where imports.planned_at is not null
group by imports.import_id, imports.skipped, imports.rejected
having imports.skipped <> coalesce(sum(reasons.rows) filter (where reasons.outcome = 'skipped'), 0)
    or imports.rejected <> coalesce(sum(reasons.rows) filter (where reasons.outcome = 'rejected'), 0)
