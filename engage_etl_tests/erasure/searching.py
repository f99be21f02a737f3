"""Where a text stands: in any file of an installation, whatever it is packed in, and in any table of its databases."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
from psycopg import sql

from engage_etl.settings import Settings

_ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "cp1252")


def places_of(settings: Settings, marks: Collection[str]) -> dict[str, set[str]]:
    """For each mark that is found the places where it is; regardless of case."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for place, content in [*_files(settings.root), *_tables(settings)]:
        lowered = content.lower()
        for mark in marks:
            if any(mark.lower().encode(encoding, "ignore") in lowered for encoding in _ENCODINGS):
                found[mark].add(place)
    return dict(found)


def _files(root: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(root.rglob("*")):
        if path.is_file():
            for content in _unpacked(path):
                yield str(path.relative_to(root)), content


def _unpacked(path: Path) -> Iterator[bytes]:
    raw = path.read_bytes()
    yield path.name.encode()
    yield raw
    if raw.startswith(b"\x1f\x8b"):
        yield gzip.decompress(raw)
    if raw.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            yield from (archive.read(name) for name in archive.namelist())
    if raw.startswith(b"PAR1"):
        yield repr(pq.read_table(path).to_pylist()).encode()


def _tables(settings: Settings) -> Iterator[tuple[str, bytes]]:
    assert settings.database_url is not None
    for database in (None, settings.dagster_database):
        other = {"dbname": database} if database is not None else {}
        with psycopg.connect(settings.database_url, **other) as connection:
            names = connection.execute(
                "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            ).fetchall()
            assert names
            for schema, name in names:
                text = sql.SQL("SELECT whole_row::text FROM {} AS whole_row").format(sql.Identifier(schema, name))
                for (row,) in connection.execute(text):
                    yield f"{schema}.{name}", row.encode()
