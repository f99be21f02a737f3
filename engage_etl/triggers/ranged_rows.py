"""Asset ``validated_rows`` in several steps, for executors that can run them at the same time or on other machines.

``find_ranges`` divides a large file, ``check_range`` is mapped to each range, ``join_ranges`` puts together what they left.
A small file is checked by the first step, and there is nothing to map. Steps hand each other no data: a range is known by
its number, which is its mapping key, and all else lies in the folder of the import.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from engage_etl.raw_file.asset import raw_file
from engage_etl.triggers.partitions import IMPORTS
from engage_etl.triggers.resources import Progress, StoreResource
from engage_etl.triggers.stage_assets import GROUP, OWNERS, TAGS, run_stage
from engage_etl.validated_rows.asset import (
    CHECKS,
    DESCRIPTION,
    KINDS,
    LIKE_THE_LAST_ONE,
    likeness_check,
    summary_metadata,
)

_LIKENESS = f"validated_rows_{LIKE_THE_LAST_ONE}"
"""The name that Dagster expects of the output with the result of the check."""


@dg.op(ins={"raw_file": dg.In(dg.Nothing)}, out=dg.DynamicOut(dg.Nothing))
def find_ranges(context: dg.OpExecutionContext, store: StoreResource) -> Iterator[dg.DynamicOutput[None]]:
    """Divide the file into ranges, or check it as a whole."""
    from engage_etl.validated_rows.stage import divide_rows

    with run_stage(context, store, "find_ranges") as run:
        ranges = divide_rows(run.store, run.import_id)
        context.log.info(f"The file is checked in {ranges} ranges." if ranges else "The file was checked as a whole.")
    # After the step, which holds the import's lock.
    yield from (dg.DynamicOutput(None, mapping_key=str(number)) for number in range(ranges))


@dg.op(ins={"found": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing))
def check_range(context: dg.OpExecutionContext, store: StoreResource) -> None:
    """Check one range, beside others."""
    from engage_etl.validated_rows.stage import check_range as check

    number = context.get_mapping_key()
    assert number is not None, "the step is mapped to a range"
    with run_stage(context, store, "check_range", is_shared=True) as run:
        rows = check(run.store, run.import_id, int(number))
        context.log.info(f"Range {int(number) + 1}: {rows:,} rows.")


@dg.op(ins={"checked": dg.In(dg.Nothing)}, out={"result": dg.Out(dg.Nothing), _LIKENESS: dg.Out()})
def join_ranges(context: dg.OpExecutionContext, store: StoreResource, progress: Progress) -> Iterator[Any]:
    """Join what was found to the stage files of the import."""
    from engage_etl.validated_rows.stage import join_ranges as join

    with run_stage(context, store, "join_ranges") as run:
        summary = join(run.store, run.import_id, progress.rows)
        yield dg.Output(None, "result", metadata=summary_metadata(run, summary))
        yield likeness_check(run, summary)


@dg.graph_asset(
    name="validated_rows",
    ins={"raw_file": dg.AssetIn(raw_file.key, dagster_type=dg.Nothing)},
    partitions_def=IMPORTS,
    group_name=GROUP,
    owners=OWNERS,
    tags=TAGS,
    kinds=KINDS,
    description=DESCRIPTION,
    check_specs=CHECKS,
)
def validated_rows_in_ranges(raw_file: Any) -> Any:
    """Stage 2 in steps."""
    checked = find_ranges(raw_file).map(check_range)
    result, likeness = join_ranges(checked.collect())
    return {"result": result, _LIKENESS: likeness}
