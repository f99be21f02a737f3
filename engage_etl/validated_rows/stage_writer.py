"""Writes stage files whose bytes depend on their rows alone, not on how many of them come at a time (R10, R31)."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

ROWS_OF_A_GROUP = 5_000
"""Rows of each row group but the last. The hash of a plan covers the files: whoever changes this voids plans that wait."""

_COMPRESSION = "lz4"


class StageWriter:
    """A Parquet file that its owner only can read; rows wait until they fill a row group, the last ones until the end."""

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        file.touch(mode=0o600)
        self._parquet = pq.ParquetWriter(file, schema, compression=_COMPRESSION)
        self._waiting = schema.empty_table()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._waiting.num_rows:
                self._parquet.write_table(self._waiting)
        finally:
            self._parquet.close()

    def write(self, rows: pa.Table) -> None:
        """Add rows; the memory that is held does not grow with their number."""
        waiting = pa.concat_tables([self._waiting, rows]).combine_chunks()
        whole = waiting.num_rows - waiting.num_rows % ROWS_OF_A_GROUP
        for start in range(0, whole, ROWS_OF_A_GROUP):
            self._parquet.write_table(waiting.slice(start, ROWS_OF_A_GROUP))
        self._waiting = waiting.slice(whole).combine_chunks()
