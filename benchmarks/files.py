"""Write a workload as a file, CSV or XML, in a stream."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from benchmarks.profiles import CUSTOM_NAMES, FIELDS
from benchmarks.server import fingerprint
from benchmarks.workload import Workload
from engage_etl.validated_rows.xml_reader import NAMESPACE
from engage_etl.vocabulary.attributes import BY_FIELD, custom_header

FORMATS = ("csv", "xml")

# No value has a separator or a quote.
_CSV = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")


def write_file(folder: Path, workload: Workload, file_format: str, *, is_distinct: bool = False) -> Path:
    """Write the file of a workload into a folder, unless it is there already; returns its path.

    is_distinct: without the rows that come again later.
    """
    kind = "-distinct" if is_distinct else ""
    file = folder / f"{workload.name}-{workload.rows}-{workload.round}{kind}-{_made_by()}.{file_format}"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        aside = file.with_suffix(".unfinished")
        write = write_csv if file_format == "csv" else _write_xml
        write(aside, workload.batches(is_distinct=is_distinct))
        aside.rename(file)
    return file


def _made_by() -> str:
    here = Path(__file__).parent
    return fingerprint(tuple(str(here / name) for name in ("files.py", "workload.py", "profiles.py")))[:4]


def write_csv(file: Path, batches: Iterable[pa.Table]) -> None:
    """Write rows as a CSV file."""
    header = ",".join(
        custom_header(CUSTOM_NAMES[field]) if field in CUSTOM_NAMES else BY_FIELD[field].header for field in FIELDS
    )
    with file.open("wb") as writing:
        writing.write(f"{header}\n".encode())
        for batch in batches:
            pyarrow.csv.write_csv(batch, writing, _CSV)


def _write_xml(file: Path, batches: Iterable[pa.Table]) -> None:
    with file.open("wb") as writing:
        writing.write(f'<?xml version="1.0" encoding="UTF-8"?>\n<userdata xmlns="{NAMESPACE}">\n<list>\n'.encode())
        for name in CUSTOM_NAMES.values():
            writing.write(f'<namedattr-definition name="{name}" type="string" enum="false"/>\n'.encode())
        for batch in batches:
            writing.write("".join(_users(batch).to_pylist()).encode())
        writing.write(b"</list>\n</userdata>\n")


def _users(batch: pa.Table) -> Any:
    """One ``user`` element per row; no value has a character that XML would need otherwise."""
    parts: list[Any] = ["<user>"]
    for field in FIELDS:
        element = "namedattr" if field in CUSTOM_NAMES else BY_FIELD[field].element
        name = f' name="{CUSTOM_NAMES[field]}"' if field in CUSTOM_NAMES else ""
        parts += [f"<{element}{name}>", batch[field].combine_chunks(), f"</{element}>"]
    return pc.binary_join_element_wise(*parts, "</user>\n", "")
