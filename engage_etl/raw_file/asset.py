"""Asset ``raw_file``: the bytes of an arrival, kept unchanged."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from engage_etl.triggers.columns import file_columns
from engage_etl.triggers.partitions import IMPORTS
from engage_etl.triggers.resources import Progress, StoreResource
from engage_etl.triggers.stage_assets import GROUP, OWNERS, TAGS, StageRun, is_its_turn, run_stage

if TYPE_CHECKING:
    from engage_etl.store.imports import ImportFile

DESCRIPTION = """
Keeps the bytes of a file that arrived, unchanged, and finds out its type, separator and encoding.

**Red?** The message says what is wrong with the file as a whole: it is empty, of another type, or the group that it is
for does not exist. Nothing was imported. Correct it and import it again.
"""
_PREVIEW_LINES = 10


@dg.asset(
    partitions_def=IMPORTS,
    group_name=GROUP,
    owners=OWNERS,
    tags=TAGS,
    kinds={"file"},
    description=DESCRIPTION,
    output_required=False,
)
def raw_file(
    context: dg.AssetExecutionContext, store: StoreResource, progress: Progress
) -> Iterator[dg.MaterializeResult]:
    """Stage 1: archive the bytes. Out of its turn, a run ends here and the sensor asks for another one (R40)."""
    from engage_etl.raw_file.stage import archive_raw_file

    with run_stage(context, store) as run:
        if not is_its_turn(context, run):
            context.log.warning("A file of this automation that arrived earlier is yet to be imported; this one waits.")
            return
        progress.stage("raw_file", None)
        record = archive_raw_file(run.store, run.import_id)
        result: dg.MaterializeResult[None] = dg.MaterializeResult(
            metadata={
                "bytes": record.bytes,
                "sha256": record.sha256,
                "file_type": record.file_type,
                "separator": repr(record.separator) if record.separator else "none",
                "character_set": record.character_set,
                "detection": dg.MetadataValue.json(record.detection),
                "arrived_at": dg.MetadataValue.timestamp(record.arrived_at),
                "path": run.path(run.store.kept.root / record.archived_path),
                "preview": dg.MetadataValue.md(_preview(run, record)),
                **file_columns(_columns(run, record)),
                **run.duration(),
            }
        )
    yield result  # after the stage, which holds the import's lock


def _preview(run: StageRun, record: "ImportFile") -> str:
    """The first lines of the file, or that they have been removed since (R42)."""
    from engage_etl.reports.samples import file_preview
    from engage_etl.store.removals import Kind, find_removals

    with run.store.engine.connect() as connection:
        gone = [removal for removal in find_removals(connection, run.import_id) if removal.kind is Kind.RAW_FILE]
    if gone:
        return str(gone[0])
    kept = _kept(run, record)
    if not kept.exists():
        return "(not kept)"  # the plain text of an encrypted file is gone when its import has ended
    return f"```\n{file_preview(kept, record.format, _PREVIEW_LINES, run.shows_personal_data)}\n```"


def _columns(run: StageRun, record: "ImportFile") -> dict[str, str]:
    """The columns of the file, as far as its beginning shows them; none of a file that is not kept any more."""
    from engage_etl.store.imports import load_import
    from engage_etl.validated_rows.stage import columns_at_the_beginning

    if not _kept(run, record).exists():
        return {}
    return columns_at_the_beginning(run.store, load_import(run.store.engine, run.import_id), record)


def _kept(run: StageRun, record: "ImportFile") -> Path:
    """The kept bytes on this machine; nothing is there if they are not kept any more."""
    return run.store.kept.fetched(run.store.kept.root / record.archived_path)
