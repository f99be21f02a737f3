"""Asset ``validated_rows``: every row checked, valid ones and rejected ones as stage files."""

from typing import TYPE_CHECKING

import dagster as dg

from engage_etl.raw_file.asset import raw_file
from engage_etl.triggers.partitions import IMPORTS
from engage_etl.triggers.resources import Progress, StoreResource
from engage_etl.triggers.stage_assets import GROUP, OWNERS, counts_table, run_stage, table

if TYPE_CHECKING:
    from engage_etl.validated_rows.stage_files import StageSummary

DESCRIPTION = """
Reads the kept bytes and checks every row: its identifier or address, and every value. Valid rows and rejected rows,
each with its reason, are left as Parquet files.

**Red?** The file as a whole cannot be read: a wrong header, broken XML, a quote that is never closed. The message
names the place. Nothing was imported. Correct the file and import it again. Rows that are rejected do not make it red.
"""


@dg.asset(
    deps=[raw_file],
    partitions_def=IMPORTS,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"pandas", "pandera", "parquet"},
    description=DESCRIPTION,
)
def validated_rows(context: dg.AssetExecutionContext, store: StoreResource, progress: Progress) -> dg.MaterializeResult:
    """Stage 2: check every row."""
    from engage_etl.reports.samples import rejected_sample, valid_sample
    from engage_etl.validated_rows.stage import validate_rows
    from engage_etl.validated_rows.stage_files import rejected_file, valid_file

    with run_stage(context, store) as run:
        progress.stage("validated_rows", None)
        summary = validate_rows(run.store, run.import_id, progress.rows)
        folder = run.store.settings.import_dir(run.import_id)
        shown = run.store.settings.sample_rows
        return dg.MaterializeResult(
            metadata={
                "rows": summary.rows,
                "valid": summary.valid,
                "rejected": summary.rejected,
                "reasons": counts_table(summary.reasons, "reason"),
                "new_custom_attributes": table([attribute.as_row() for attribute in summary.new_attributes]),
                "warnings": table([{"warning": warning} for warning in summary.warnings]),
                "dagster/column_schema": _column_schema(summary),
                "sample": table(valid_sample(folder, shown, run.shows_personal_data)),
                "rejected_sample": table(rejected_sample(folder, shown)),
                "valid_file": run.path(valid_file(folder)),
                "rejected_file": run.path(rejected_file(folder)),
                **run.duration(summary.rows),
            }
        )


def _column_schema(summary: "StageSummary") -> dg.TableSchema:
    return dg.TableSchema(
        [dg.TableColumn(field, description=f"from {cell}") for cell, field in summary.columns.items()]
    )
