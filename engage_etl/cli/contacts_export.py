"""Contacts as a file, in a stream: memory does not grow with their number."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engage_etl.errors import UsageError
from engage_etl.store.contacts import export_header, export_rows
from engage_etl.store.engine import Store
from engage_etl.store.groups import named_group

Block = list[tuple[Any, ...]]


def export_contacts(store: Store, file: Path, group: str | None) -> int:
    """Write contacts to a file by its ending, readable by its owner only; returns how many.

    group: of which members are written, None for all contacts.

    Raises:
        UsageError: the ending is neither .csv nor .parquet, or the folder cannot be written.
        GroupUnknown: there is no such group.
    """
    writers = {".csv": _write_csv, ".parquet": _write_parquet}
    if file.suffix.lower() not in writers:
        raise UsageError(
            f"{file.name}: the ending says neither CSV nor Parquet; name a file that ends in .csv or .parquet."
        )
    with store.engine.connect() as connection, _written_aside(file) as aside:
        group_id = named_group(connection, group) if group is not None else None
        header = export_header(connection, group_id)
        return writers[file.suffix.lower()](aside, header, export_rows(connection, group_id))


@contextmanager
def _written_aside(file: Path) -> Iterator[Path]:
    """A new file beside the one to write, for its owner only, which takes its place once everything is written."""
    aside = None
    try:
        descriptor, name = tempfile.mkstemp(prefix=".export-", suffix=".part", dir=file.parent)
        os.close(descriptor)
        aside = Path(name)
        yield aside
        aside.replace(file)
    except OSError as error:
        raise UsageError(f"{file} cannot be written ({error.strerror}); name another place.") from None
    finally:
        if aside is not None:
            aside.unlink(missing_ok=True)


def _write_csv(file: Path, header: list[str], blocks: Iterator[Block]) -> int:
    number = 0
    with file.open("w", encoding="utf-8", newline="") as writing:
        writer = csv.writer(writing, lineterminator="\n")
        writer.writerow(header)
        for block in blocks:
            writer.writerows(block)
            number += len(block)
    return number


def _write_parquet(file: Path, header: list[str], blocks: Iterator[Block]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.string()) for name in header])
    number = 0
    with pq.ParquetWriter(file, schema) as writer:
        for block in blocks:
            columns = zip(*block, strict=True)
            writer.write_table(pa.table([pa.array(column, pa.string()) for column in columns], schema=schema))
            number += len(block)
    return number
