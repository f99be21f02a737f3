"""Asset ``validated_rows``: every row checked, valid ones and rejected ones as stage files."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from engage_etl.raw_file.asset import raw_file
from engage_etl.triggers.columns import checked_columns
from engage_etl.triggers.partitions import IMPORTS
from engage_etl.triggers.resources import Progress, StoreResource
from engage_etl.triggers.stage_assets import GROUP, OWNERS, TAGS, StageRun, counts_table, run_stage, share, table

if TYPE_CHECKING:
    from engage_etl.validated_rows.stage_files import StageSummary

DESCRIPTION = """
Reads the kept bytes and checks every row: its identifier or address, and every value. Valid rows and rejected rows,
each with its reason, are left as Parquet files.

**Red?** The file as a whole cannot be read: a wrong header, broken XML, a quote that is never closed. The message
names the place. Nothing was imported. Correct the file and import it again. Rows that are rejected do not make it red.
"""
LIKE_THE_LAST_ONE = "file_like_the_last_one"
CHECKS = [
    dg.AssetCheckSpec(
        LIKE_THE_LAST_ONE,
        asset="validated_rows",
        description="The file has the columns of the last one of its automation, or by hand into the same group, its "
        "type, and neither half nor double its rows. Yellow: the import went on. Ask those who send it whether "
        "something was left out; if so, revert the import, or drop the whole file.",
    ),
]
KINDS = {"pandas", "pandera", "parquet"}


@dg.asset(
    deps=[raw_file],
    partitions_def=IMPORTS,
    group_name=GROUP,
    owners=OWNERS,
    tags=TAGS,
    kinds=KINDS,
    description=DESCRIPTION,
    check_specs=CHECKS,
)
def validated_rows(context: dg.AssetExecutionContext, store: StoreResource, progress: Progress) -> dg.MaterializeResult:
    """Stage 2: check every row."""
    from engage_etl.validated_rows.stage import validate_rows

    with run_stage(context, store) as run:
        progress.stage("validated_rows", None)
        summary = validate_rows(run.store, run.import_id, progress.rows)
        return dg.MaterializeResult(
            metadata=summary_metadata(run, summary), check_results=[likeness_check(run, summary)]
        )


def summary_metadata(run: StageRun, summary: "StageSummary") -> dict[str, Any]:
    """What the web page shows of the checked rows, whether one step or several have checked them."""
    from engage_etl.reports.samples import rejected_sample, valid_sample
    from engage_etl.validated_rows.stage_files import rejected_file, valid_file

    folder = run.store.import_dir(run.import_id)
    shown = run.store.settings.sample_rows
    return {
        "rows": summary.rows,
        "valid": summary.valid,
        "rejected": summary.rejected,
        "rejected_share": share(summary.rejected, summary.rows),
        "reasons": counts_table(summary.reasons, "reason"),
        "new_custom_attributes": table([attribute.as_row() for attribute in summary.new_attributes]),
        "warnings": table([{"warning": warning} for warning in summary.warnings]),
        **checked_columns(summary.columns),
        "sample": table(valid_sample(folder, shown, run.shows_personal_data)),
        "rejected_sample": table(rejected_sample(folder, shown)),
        "valid_file": run.path(valid_file(folder)),
        "rejected_file": run.path(rejected_file(folder)),
        **run.duration(summary.rows),
    }


def likeness_check(run: StageRun, summary: "StageSummary") -> dg.AssetCheckResult:
    """How the file compares with the one before; never in the way."""
    from engage_etl.store.imports import load_import
    from engage_etl.validated_rows.likeness import likeness

    entry = load_import(run.store.engine, run.import_id)
    found = likeness(run.store, entry, summary)
    return dg.AssetCheckResult(
        check_name=LIKE_THE_LAST_ONE,
        passed=not found.differences,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{entry.file}: {found.finding}.",
        metadata={
            "rows": summary.rows,
            "columns": len(summary.columns),
            **({"rows_before": found.rows_before, "bytes_before": found.bytes_before} if found.previous else {}),
            "compared_with": found.previous.import_id if found.previous else "nothing",
        },
    )
